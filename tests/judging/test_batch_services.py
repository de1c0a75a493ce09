"""What services may say, in and out of their documentation."""

import pytest
from aiohttp import web

from tasks.catalog import UserError
from tasks.judging.asking import to_calls
from tasks.judging.batches import Order, ask_in_batches, check_batches
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.judgments import judge_all
from tasks.paid.store import Store
from tests.fakes.batches import ChatBatchesAPI, MessageBatchesAPI
from tests.fakes.judging import KEY, some_cases
from tests.fakes.messages_api import judgment
from tests.fakes.nouns import CLAUDE

pytestmark = pytest.mark.usefixtures("data")


def three(seen, body):
    return judgment(3)


def cases_at(api, n=2):
    kind, path = ("chat", "/v1") if isinstance(api, ChatBatchesAPI) else ("claude", "")
    judge = CLAUDE.model_copy(update={"kind": kind, "base_url": api.url + path, "model": "m", "reads": "response"})
    return some_cases(n, judge)


async def in_batches(cases, is_cancelled=None, warn=lambda _: None, **settings):
    store = Store()
    async with Dispatcher(store, 10, initial_backoff=0.001, warn=warn, **settings) as dispatcher:
        order = Order(to_calls(cases), dispatcher, is_cancelled=is_cancelled)
        return judge_all(cases, store, await ask_in_batches(order))


@pytest.mark.parametrize(
    "body", [{"error": "no such model"}, {"error": None}, {"detail": "no such model"}, "<html>", None]
)
async def test_an_error_in_a_batch_that_is_written_otherwise_is_one_all_the_same(body):
    class Otherwise(ChatBatchesAPI):
        def _line(self, key, fate, said):
            line = super()._line(key, fate, said)
            return line | {"response": {"status_code": 400, "body": body}}

    with Otherwise(three, fate=lambda number, place: "wrong") as api:
        rows = await in_batches(cases_at(api))
    assert {row.state for row in rows} == {"failed"}
    assert "400 APIStatusError" in rows[0].raw


async def test_a_line_that_is_broken_costs_no_other_its_reply(monkeypatch):
    with MessageBatchesAPI(three) as api:
        stream = api.desk.stream
        monkeypatch.setattr(api.desk, "stream", lambda lines, request: stream(["half of {", *lines], request))
        with pytest.raises(UserError, match=r"a line of the results of a batch is none: .*half of"):
            await in_batches(cases_at(api), max_outage=0.05)
        assert len(Store().get(call.key for call, _ in to_calls(cases_at(api)))) == 4


async def test_calls_that_a_cancelled_batch_says_nothing_of_are_not_asked_again():
    class SaysNothing(ChatBatchesAPI):
        async def _content(self, request):
            batch = self.desk.batches["batch_0"]
            batch.outcomes = [outcome for outcome in batch.outcomes or [] if outcome[1] != "canceled"]
            return await super()._content(request)

        async def _create(self, request):
            made = await super()._create(request)
            self.desk.batches["batch_0"].is_cancelled = True
            return made

    with SaysNothing(three) as api:
        with pytest.raises(UserError, match=r"batch_0 was cancelled at .* with 2 calls not asked"):
            await in_batches(cases_at(api))
        assert len(api.desk.batches) == 1


async def test_a_cancelled_run_cancels_all_its_batches(monkeypatch):
    monkeypatch.setattr("tasks.judging.claude_batches.MessageBatches.MOST_REQUESTS", 2)
    said: list[str] = []

    async def is_cancelled():
        return len(api.desk.batches) == 2

    with MessageBatchesAPI(three, looks=10**9) as api:
        with pytest.raises(UserError, match="the run was cancelled, and batch batch_0 with it"):
            await in_batches(cases_at(api), is_cancelled, said.append)
        assert [batch.is_cancelled for batch in api.desk.batches.values()] == [True, True]
    assert said == ["batch batch_1 is cancelled; a resume keeps what it brought"]


async def test_results_come_from_the_service_that_has_the_batch_whatever_host_it_names(monkeypatch):
    monkeypatch.setenv("SPILLOVER_JUDGE_KEY", KEY)

    class Elsewhere(MessageBatchesAPI):
        def _shown(self, batch):
            shown = super()._shown(batch)
            return shown | {"results_url": shown["results_url"] and f"http://127.0.0.1:9/{batch.id}"}

    with Elsewhere(three) as api:
        assert {row.score for row in await in_batches(cases_at(api))} == {3}


async def test_results_that_are_kept_no_longer_are_asked_for_again():
    class Archived(MessageBatchesAPI):
        def _shown(self, batch):
            return super()._shown(batch) | {"archived_at": "2026-12-26T09:00:00Z" if batch.number == 0 else None}

        async def _results(self, request):
            if request.match_info["id"] == "batch_0":
                raise web.HTTPNotFound
            return await super()._results(request)

    with Archived(three) as api:
        assert {row.score for row in await in_batches(cases_at(api))} == {3}
        assert len(api.desk.batches) == 2


@pytest.mark.parametrize("api_of", [ChatBatchesAPI, MessageBatchesAPI])
async def test_a_service_that_answers_with_a_page_of_its_own_takes_no_batches(api_of, monkeypatch):
    monkeypatch.setattr(api_of, "_list", a_page)
    with api_of(three) as api, pytest.raises(UserError, match=r"takes no batches \(.*\): set judging.batch to false$"):
        await check_batches([cases_at(api)[0].judge], Store())


@pytest.mark.parametrize("api_of", [ChatBatchesAPI, MessageBatchesAPI])
async def test_a_page_in_the_place_of_a_batch_is_an_outage(api_of, monkeypatch):
    retrieve, pages = api_of._retrieve, iter([a_page])

    async def now_and_then(api, request):
        return await next(pages, retrieve)(api, request)

    monkeypatch.setattr(api_of, "_retrieve", now_and_then)
    with api_of(three) as api:
        assert {row.score for row in await in_batches(cases_at(api))} == {3}


async def a_page(api, request):
    return web.Response(text="<html>Welcome</html>", content_type="text/html")
