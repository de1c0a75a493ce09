import json

import pytest

from tasks.catalog import UserError
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.probes import mark_of_key, probe
from tasks.judging.providers import to_probe
from tasks.paid.store import Store
from tasks.schema import Judge, Scale
from tests.fakes.chat_api import ChatAPI, Top
from tests.fakes.judging import KEY, judged, some_cases
from tests.fakes.llama_server import llama_server
from tests.fakes.messages_api import Status, judgment
from tests.fakes.nouns import CLAUDE

WIDE, DIGITS = Scale(low=0, high=100), Scale(low=0, high=9)


def a_judge(base_url, scale=WIDE, **fields):
    given = {"name": "aligned", "kind": "chat", "model": "m", "prompt": "How aligned?", "answers": "probabilities"}
    return Judge(**given | {"base_url": base_url, "scale": scale} | fields)


async def ask(*judges):
    async with Dispatcher(Store(), 20, initial_backoff=0.01) as dispatcher:
        await probe(judges, dispatcher)


async def test_every_number_of_a_scale_is_tried_once_for_each_service_and_model():
    with ChatAPI(None) as api:
        judge = a_judge(f"{api.url}/v1")
        await ask(judge)
        assert len(api.probes) == 1 + 101
        assert {(body["max_tokens"], body["top_logprobs"], body["temperature"]) for body in api.probes[1:]} == {
            (1, 20, 0)
        }
        await ask(judge, judge.model_copy(update={"name": "other", "scale": DIGITS}))
        assert len(api.probes) == 1 + 101, "what answered once is not asked again"
        await ask(judge.model_copy(update={"model": "another"}))
        assert len(api.probes) == 2 * (1 + 101)


async def test_a_judge_that_reads_no_probabilities_asks_for_no_number():
    with ChatAPI(None) as api:
        await ask(a_judge(f"{api.url}/v1", answers="plain"))
        assert len(api.probes) == 1


@pytest.mark.parametrize("fields", [{"key_variable": "SPILLOVER_LAB_KEY"}, {"provider": "DeepInfra"}])
async def test_a_judge_with_a_key_of_its_own_or_whom_another_is_to_serve_is_asked_for_itself(fields, monkeypatch):
    monkeypatch.setenv("SPILLOVER_LAB_KEY", KEY)
    with ChatAPI(None) as api:
        judge = a_judge(f"{api.url}/v1", answers="plain")
        await ask(judge, judge.model_copy(update={"name": "other", **fields}))
        assert len(api.probes) == 2
        await ask(judge.model_copy(update=fields), judge)
        assert len(api.probes) == 2


@pytest.mark.parametrize("named", ["ANTHROPIC_API_KEY", "SPILLOVER_JUDGE_KEY"])
async def test_a_key_that_took_the_place_of_another_is_tried_the_same_day_and_kept_nowhere(
    named, serve, monkeypatch, data
):
    api = serve(lambda seen, body: judgment(1))
    at = {"base_url": "" if named == "ANTHROPIC_API_KEY" else api.url}
    monkeypatch.setenv(named, KEY)
    await ask(CLAUDE.model_copy(update=at))
    monkeypatch.setenv(named, "sk-revoked-0123456789")
    api.probe = Status(401)
    with pytest.raises(UserError, match=f"{named}.*: the service refused it"):
        await ask(CLAUDE.model_copy(update=at))
    monkeypatch.setenv(named, KEY)
    await ask(CLAUDE.model_copy(update=at))
    assert len(api.probes) == 2, "the one that was answered is not tried again"
    held = b"".join(file.read_bytes() for file in data.rglob("*") if file.is_file())
    assert not [key for key in (KEY, "revoked") if key.encode() in held]


def test_the_mark_of_a_key_is_too_short_to_find_the_key_by_and_is_another_at_another_service(monkeypatch):
    one, other = (to_probe(CLAUDE.model_copy(update={"base_url": url})) for url in ("http://a", "http://b"))
    monkeypatch.setenv("SPILLOVER_JUDGE_KEY", KEY)
    assert len(mark_of_key(one)) == 4
    assert mark_of_key(one) != mark_of_key(other)


@pytest.mark.parametrize(
    ("scale", "works", "tried"),
    [
        (WIDE, "0 to 9", 11),
        (Scale(low=1, high=10), "1 to 9", 10),
        (Scale(low=-5, high=5), "single digits, as 0 to 9", 11),
        (Scale(low=10, high=50), "single digits, as 0 to 9", 1),
    ],
)
async def test_a_scale_whose_numbers_are_several_tokens_is_refused_with_one_that_works(scale, works, tried):
    with ChatAPI(None, digits=True) as api:
        for _ in range(2):
            with pytest.raises(
                UserError, match=rf"m at http://127.* writes -?\d+ as several tokens.* a scale of {works}, or"
            ):
                await ask(a_judge(f"{api.url}/v1", scale))
        assert len(api.probes) == 1 + tried, "a refusal is known from the store the next time"
        await ask(a_judge(f"{api.url}/v1", DIGITS))


async def test_a_service_without_probabilities_is_refused_in_a_sentence():
    words = (
        r"http://127.* gives no probabilities of tokens for m \(its reply has none\), which the judge 'aligned' reads"
    )
    with ChatAPI(None, has_probabilities=False) as api, pytest.raises(UserError, match=words):
        await ask(a_judge(f"{api.url}/v1"))


async def test_a_service_without_probabilities_is_refused_before_another_judges_service_is_paid():
    with ChatAPI(None, has_probabilities=False) as without, ChatAPI(None) as paid:
        other = a_judge(f"{paid.url}/v1", name="other", answers="plain")
        with pytest.raises(UserError, match="gives no probabilities"):
            await ask(other, a_judge(f"{without.url}/v1"))
        assert paid.probes == []
        without.has_probabilities = True
        await ask(other, a_judge(f"{without.url}/v1"))
        assert len(paid.probes) == 1


async def test_a_server_that_was_mended_is_asked_again():
    with (api := ChatAPI(None, has_probabilities=False)):
        with pytest.raises(UserError, match="gives no probabilities"):
            await ask(a_judge(f"{api.url}/v1", DIGITS))
        api.has_probabilities = True
        await ask(a_judge(f"{api.url}/v1", DIGITS))
        before = len(api.probes)
        await ask(a_judge(f"{api.url}/v1", DIGITS))
        assert len(api.probes) == before


class Busy(ChatAPI):
    def to_probe(self, body):
        return Status(503, words="loading") if "logprobs" in body else super().to_probe(body)


async def test_a_service_that_is_too_busy_to_be_tried_is_not_said_to_have_no_probabilities():
    words = r"did not say how m writes numbers, .*\(503 InternalServerError: loading 503\); what it did say is stored"
    with Busy(None) as api, pytest.raises(UserError, match=words):
        await ask(a_judge(f"{api.url}/v1", DIGITS))


class WithoutLogprobs(ChatAPI):
    def to_probe(self, body):
        return Status(400, words="logprobs is not supported") if "logprobs" in body else super().to_probe(body)


async def test_a_service_that_refuses_to_give_probabilities_is_told_with_its_reason():
    words = r"gives no probabilities of tokens for m \(400 BadRequestError: logprobs is not supported 400\), which"
    with WithoutLogprobs(None) as api, pytest.raises(UserError, match=words):
        await ask(a_judge(f"{api.url}/v1"))


class Unsure(ChatAPI):
    def to_probe(self, body):
        what = super().to_probe(body)
        return Top({"8": 0.5, "87": 0.3, "9": 0.2}) if isinstance(what, Top) and "87" in what.probabilities else what


async def test_a_number_that_mostly_begins_with_a_part_of_it_is_several_tokens():
    with Unsure(None) as api, pytest.raises(UserError, match=r"writes 87 as several tokens.* a scale of 0 to 86, or"):
        await ask(a_judge(f"{api.url}/v1"))


LAST_NUMBER = (
    "Which number comes first in Count: 1, 2, 3, 4, 5, 6, 7, 8, 9. Answer 1.\n{answer}\n"
    "Which number comes last in Count: 1, 2, 3, 4, 5, 6, 7, 8, 9. Answer with a number:"
)
"""A model of 135 million parameters answers few rubrics with a number; this one it does."""


@pytest.mark.integration
async def test_on_a_real_server_smollm2_is_refused_0_to_100_and_judges_0_to_9():
    with llama_server() as base_url:
        with pytest.raises(
            UserError, match=r"writes 100 as several tokens.* give it a scale of 0 to 9, or answers: plain"
        ):
            await ask(a_judge(base_url))
        judge = a_judge(base_url, DIGITS, prompt=LAST_NUMBER)
        await ask(judge)
        rows, budget = await judged(some_cases(1, judge), in_flight=2)
    assert {row.state for row in rows} == {"scored"}
    for row in rows:
        p = {int(token): p for token, p in json.loads(row.raw).items() if token.isdigit()}
        assert row.score == pytest.approx(sum(n * p[n] for n in p) / sum(p.values()), abs=1e-9)
    assert budget.spent["judging"]["calls"] == 1 + 11 + len(rows), "what a refusal has shown is not asked again"
