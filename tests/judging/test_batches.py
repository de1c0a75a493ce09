"""Against fake services: no batch was ever handed to a service itself."""

import asyncio
from itertools import count

import pytest

from tasks.catalog import UserError
from tasks.judging.asking import to_calls
from tasks.judging.batch_client import place_of
from tasks.judging.batches import Order, ask_in_batches, check_batches, in_open_batches
from tasks.judging.chat_batches import FileBatches
from tasks.judging.claude_batches import MessageBatches
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.judgments import judge_all
from tasks.judging.providers import PROVIDERS
from tasks.paid.budget import Budget, BudgetSpent
from tasks.paid.store import Store
from tasks.services.retries import MAX_TRIES
from tests.fakes.batches import ChatBatchesAPI, MessageBatchesAPI
from tests.fakes.judging import KEY, attempts, judged, some_cases
from tests.fakes.messages_api import Say, judgment
from tests.fakes.nouns import CLAUDE

APIS = {"claude": MessageBatchesAPI, "chat": ChatBatchesAPI}
ADDRESSES = {"claude": "", "chat": "/v1"}
PRICES = "{input: 4.0, output: 20.0, cache_read: 0.4, batch_input: 2.0, batch_output: 10.0}"


def three(seen, body):
    return judgment(3)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr("tasks.judging.batch_client.LONGEST_WAIT", 0.02)


@pytest.fixture(params=APIS)
def kind(request):
    return request.param


@pytest.fixture
def begin(kind, data):
    """Starts a service with batches; the judge that asks it."""
    running = []

    def start(script=three, **how):
        api = APIS[kind](script, **how).__enter__()
        running.append(api)
        url = api.url + ADDRESSES[kind]
        (data / "prices.yaml").write_text(f"'{url}': {{m: {PRICES}}}\n")
        return api, CLAUDE.model_copy(update={"kind": kind, "base_url": url, "model": "m", "reads": "response"})

    yield start
    for api in running:
        api.__exit__()


async def in_batches(cases, budget=None, again=(), makes_new=True, is_cancelled=None, tell=lambda _: None, **settings):
    store = Store()
    async with Dispatcher(store, 10, budget, initial_backoff=0.001, **settings) as dispatcher:
        begun = {key: reply.attempt + 1 for key, reply in store.get(case.call.key for case in again).items()}
        shown = (lambda: None), tell, is_cancelled
        failed = await ask_in_batches(Order(to_calls(cases), dispatcher, *shown, begun, makes_new))
    return judge_all(cases, store, failed), dispatcher.budget


async def without_waiting(cases):
    """The judgments that are there once nothing is left but to wait, and how many batches are open."""
    store = Store()
    async with Dispatcher(store, 10, initial_backoff=0.001) as dispatcher:
        order = Order(to_calls(cases), dispatcher, waits=False)
        failed = await ask_in_batches(order)
    return judge_all(cases, store, failed), len(order.left_open)


def open_batches(judge, *cases):
    return in_open_batches(to_calls(some_cases(50, judge)), Store())


async def test_what_comes_in_a_batch_is_stored_as_if_asked_directly_at_half_the_price(begin):
    api, judge = begin()
    rows, budget = await in_batches(some_cases(20, judge))
    assert {row.score for row in rows} == {3}
    assert [len(batch.requests) for batch in api.desk.batches.values()] == [40]
    assert budget.spent["judging"]["calls"] == 40
    input_of_one = 100 * 2.0 if judge.kind == "claude" else 60 * 2.0 + 40 * 0.2
    assert budget.usd == pytest.approx(40 * (input_of_one + 20 * 10.0) / 1e6)
    direct, _ = await judged(some_cases(20, judge))
    assert direct == rows
    assert api.requests == []


async def test_the_requests_are_the_very_ones_of_direct_calls_under_their_keys(begin):
    api, judge = begin()
    await in_batches(some_cases(3, judge))
    direct = {call.key: PROVIDERS[judge.kind].body(call, None) for call, _ in to_calls(some_cases(3, judge))}
    assert dict(api.desk.batches["batch_0"].requests) == direct


async def test_what_was_asked_directly_is_in_no_batch(begin):
    api, judge = begin()
    await judged(some_cases(3, judge))
    await in_batches(some_cases(4, judge))
    assert [len(batch.requests) for batch in api.desk.batches.values()] == [2]
    assert len(api.requests) == 6


@pytest.mark.parametrize(
    ("fate", "sentence"),
    [
        ("no credit", r"wants to be paid first \(.*scripted\); add credit there and resume the run"),
        ("no key", "set a key"),
    ],
)
async def test_out_of_credit_and_a_refused_key_end_the_run_as_they_do_directly_and_what_came_is_kept(
    begin, fate, sentence
):
    api, judge = begin(fate=lambda number, place: fate if number == 0 and place % 2 else "succeeded")
    with pytest.raises(UserError, match=sentence):
        await in_batches(some_cases(10, judge))
    assert len(api.desk.batches) == 1
    assert len(Store().get(call.key for call, _ in to_calls(some_cases(10, judge)))) == 10
    assert open_batches(judge) == []
    rows, _ = await in_batches(some_cases(10, judge))
    assert {row.score for row in rows} == {3}
    assert set(api.desk.paid.values()) == {1}


async def test_a_reply_that_a_batch_cut_off_is_asked_for_anew_by_a_run_that_allows_a_longer_one(begin):
    def say(seen, body):
        longest = body.get("max_tokens") or body["max_completion_tokens"]
        return judgment(3) if longest > 50 else Say('{"reasoning": "so', "max_tokens" if "system" in body else "length")

    api, judge = begin(say, looks=50)
    await handed_over(some_cases(2, judge.model_copy(update={"max_tokens": 40})))
    api.desk.looks = 0
    longer = some_cases(2, judge.model_copy(update={"max_tokens": 60}))
    rows, _ = await in_batches(longer)
    assert {row.score for row in rows} == {3}
    kept = Store().attempts([longer[0].call.key])[longer[0].call.key]
    assert [reply.body["max_tokens"] for reply in kept] == [40, 60]
    assert [len(batch.requests) for batch in api.desk.batches.values()] == [4, 4]


async def test_an_order_that_does_not_wait_leaves_its_batch_and_takes_it_up_once_it_is_over(begin):
    api, judge = begin(looks=2)
    cases = some_cases(3, judge)
    for _ in range(2):
        rows, left = await without_waiting(cases)
        assert ({row.state for row in rows}, left) == ({"failed"}, 1)
    rows, left = await without_waiting(cases)
    assert ({row.score for row in rows}, left) == ({3}, 0)
    assert len(api.desk.batches) == 1
    assert set(api.desk.paid.values()) == {1}


async def test_what_never_comes_has_failed_after_the_tries_of_a_direct_call_whoever_takes_the_batches_up(begin):
    api, judge = begin(looks=1, fate=lambda number, place: "expired")
    left, runs = 1, 0
    while left:
        rows, left = await without_waiting(some_cases(2, judge))
        runs += 1
    assert {row.state for row in rows} == {"failed"}
    assert (len(api.desk.batches), runs) == (MAX_TRIES, MAX_TRIES + 1)


@pytest.mark.parametrize("fate", ["missing", "expired", "errored"])
async def test_what_a_batch_did_not_bring_goes_into_the_next_and_is_paid_once(begin, fate):
    api, judge = begin(fate=lambda number, place: fate if number < 2 and place % 2 else "succeeded")
    rows, budget = await in_batches(some_cases(10, judge))
    assert {row.score for row in rows} == {3}
    assert [len(batch.requests) for batch in api.desk.batches.values()] == [20, 10, 5]
    assert set(api.desk.paid.values()) == {1}
    assert budget.spent["judging"]["calls"] == 20
    assert open_batches(judge) == []


async def test_what_never_comes_has_failed_after_the_tries_of_a_direct_call(begin):
    api, judge = begin(fate=lambda number, place: "expired")
    rows, budget = await in_batches(some_cases(2, judge))
    assert {row.state for row in rows} == {"failed"}
    assert "expired" in rows[0].raw
    assert len(api.desk.batches) == MAX_TRIES
    assert budget.spent == {}


async def test_a_request_that_is_wrong_is_not_asked_again(begin):
    api, judge = begin(fate=lambda number, place: "wrong" if place == 0 else "succeeded")
    rows, _ = await in_batches(some_cases(2, judge))
    assert sorted(row.state for row in rows) == ["failed", "scored", "scored", "scored"]
    assert len(api.desk.batches) == 1


async def test_a_reply_that_cannot_be_read_is_asked_for_once_more_with_a_reminder(begin):
    api, judge = begin(lambda seen, body: Say("no number") if seen == 0 else judgment(4))
    cases = some_cases(2, judge)
    rows, _ = await in_batches(cases)
    assert {row.score for row in rows} == {4}
    assert attempts(cases[0]) == ["no number", judgment(4).text]
    assert [len(batch.requests) for batch in api.desk.batches.values()] == [4, 4]
    turns = api.to_body(api.desk.batches["batch_1"].requests[0][1])["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]


async def test_judgments_that_are_asked_again_are_asked_in_a_batch(begin):
    api, judge = begin(lambda seen, body: Say("", "refusal") if seen == 0 else judgment(2))
    cases = some_cases(2, judge)
    await in_batches(cases)
    await in_batches(cases)
    assert len(api.desk.batches) == 1, "a refusal is a result"
    rows, _ = await in_batches(cases, again=cases)
    assert {row.score for row in rows} == {2}


async def test_what_one_batch_cannot_hold_is_several(begin, kind, monkeypatch):
    monkeypatch.setattr({"claude": MessageBatches, "chat": FileBatches}[kind], "MOST_REQUESTS", 7)
    api, judge = begin()
    await in_batches(some_cases(10, judge))
    assert [len(batch.requests) for batch in api.desk.batches.values()] == [7, 7, 6]
    monkeypatch.setattr({"claude": MessageBatches, "chat": FileBatches}[kind], "MOST_BYTES", 5_000)
    await in_batches(some_cases(20, judge))
    assert [len(batch.requests) for batch in api.desk.batches.values()][3:] != [7, 7, 6]
    assert set(api.desk.paid.values()) == {1}
    assert len(api.desk.paid) == 40


@pytest.mark.parametrize("what", ["create", "stage", "results"])
async def test_an_answer_that_is_lost_on_its_way_is_asked_for_again_and_no_batch_is_made_twice(begin, what):
    api, judge = begin()
    api.desk.lost[what] = 2 if what != "create" else 1
    rows, budget = await in_batches(some_cases(10, judge))
    assert {row.score for row in rows} == {3}
    assert len(api.desk.batches) == 1
    assert budget.spent["judging"]["calls"] == 20


async def test_the_services_own_counts_are_shown(begin):
    _, judge = begin(looks=2, fate=lambda number, place: "errored" if number == 0 and place == 0 else "succeeded")
    said: list[str] = []
    await in_batches(some_cases(3, judge), tell=said.append)
    assert "batch batch_0: processing 6" in said
    assert "batch batch_0: succeeded 5, errored 1" in said


@pytest.mark.integration
async def test_a_kill_at_any_moment_pays_nothing_twice_and_loses_nothing(begin, monkeypatch, tmp_path):
    """At each write to the store and each request, before it and after it."""
    instants, reached = 0, [0]

    async def may_hang():
        reached[0] += 1
        if reached[0] == instants:
            await asyncio.Event().wait()

    for owner, name in [(Store, "keep_batch"), (Store, "commit"), (Store, "end_batch")]:
        monkeypatch.setattr(owner, name, around(getattr(owner, name), may_hang))
    for service in (MessageBatches, FileBatches):
        for name in ("create", "stage"):
            monkeypatch.setattr(service, name, around(getattr(service, name), may_hang))
        monkeypatch.setattr(service, "outcomes", within(getattr(service, "outcomes"), may_hang))  # noqa: B009
    api, judge = begin(fate=lambda number, place: "expired" if number == 0 and place % 2 else "succeeded")
    for instants in count(1):
        monkeypatch.setenv("SPILLOVER_STORE", f"sqlite:///{tmp_path}/{instants}.db")
        reached[0] = 0
        api.desk.batches.clear()
        api.desk.paid.clear()
        running = asyncio.create_task(in_batches(some_cases(2, judge), Budget(Store(), "r")))
        while not running.done() and reached[0] < instants:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        was_over = running.done() and reached[0] < instants
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        reached[0] = instants + 1
        rows, budget = await in_batches(some_cases(2, judge), Budget(Store(), "r"))
        assert {row.score for row in rows} == {3}, instants
        assert set(api.desk.paid.values()) == {1}, instants
        assert budget.spent["judging"]["calls"] == 4, instants
        if was_over:
            break
        await in_batches(some_cases(3, judge))
        assert Store().open_batches(place_of(some_cases(1, judge)[0].call)) == [], instants
    assert instants > 20


def around(method, may_hang):
    async def watched(self, *given):
        await may_hang()
        result = await method(self, *given)
        await may_hang()
        return result

    return watched


def within(method, may_hang):
    async def watched(self, *given):
        async for outcome in method(self, *given):
            await may_hang()
            yield outcome

    return watched


async def handed_over(cases, **how):
    """A batch that is under way, of a run that was killed."""
    running = asyncio.create_task(in_batches(cases, **how))
    while not any(batch.id for batch in Store().open_batches(place_of(cases[0].call))):
        assert not running.done()
        await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_calls_of_a_batch_under_way_are_waited_for_and_not_asked_directly(begin):
    api, judge = begin(looks=50)
    await handed_over(some_cases(3, judge))
    calls = to_calls(some_cases(5, judge))
    assert len(in_open_batches(calls, Store())) == 6
    api.desk.looks = 0
    await in_batches(some_cases(5, judge), makes_new=False)
    await judged(some_cases(5, judge))
    assert (len(api.desk.batches), len(api.requests)) == (1, 4)


async def test_what_a_batch_brings_for_another_run_stays_to_be_taken(begin):
    api, judge = begin(looks=50)
    await handed_over(some_cases(5, judge))
    api.desk.looks = 0
    await in_batches(some_cases(2, judge))
    assert open_batches(judge), "six of its replies are not in the store"
    rows, _ = await in_batches(some_cases(5, judge))
    assert {row.score for row in rows} == {3}
    assert (len(api.desk.batches), open_batches(judge)) == (1, [])


async def test_an_interrupted_run_leaves_its_batch_and_a_cancelled_one_cancels_it(begin):
    api, judge = begin(looks=10_000)
    said: list[str] = []
    await handed_over(some_cases(3, judge), warn=said.append)
    assert said[-1] == "batch batch_0 goes on; a resume waits for it"
    assert not api.desk.batches["batch_0"].is_cancelled

    async def is_cancelled():
        return api.desk.batches["batch_0"].looks > 5

    with pytest.raises(UserError, match="the run was cancelled, and batch batch_0 with it; what it brought is stored"):
        await in_batches(some_cases(3, judge), is_cancelled=is_cancelled)
    assert api.desk.batches["batch_0"].is_cancelled
    assert len(Store().get(call.key for call, _ in to_calls(some_cases(3, judge)))) == 3
    api.desk.looks = 0
    rows, _ = await in_batches(some_cases(3, judge))
    assert {row.score for row in rows} == {3}
    assert max(api.desk.paid.values()) == 1


async def test_a_run_that_is_told_to_end_after_a_cancel_cancels_its_batch_at_the_service(begin):
    api, judge = begin(looks=10_000)
    said, over = list[str](), asyncio.Event()

    async def is_cancelled():
        return over.is_set()

    running = asyncio.create_task(in_batches(some_cases(3, judge), is_cancelled=is_cancelled, warn=said.append))
    while not api.desk.batches or api.desk.batches["batch_0"].looks < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    running.cancel()
    over.set()
    await asyncio.gather(running, return_exceptions=True)
    assert said[-1] == "batch batch_0 is cancelled; a resume keeps what it brought"
    api.desk.looks = 0
    rows, _ = await in_batches(some_cases(3, judge))
    assert {row.score for row in rows} == {3}
    assert max(api.desk.paid.values()) == 1


async def test_a_batch_that_somebody_cancels_at_the_service_stops_the_run_and_what_came_is_kept(begin):
    api, judge = begin(looks=10_000)
    running = asyncio.create_task(in_batches(some_cases(3, judge)))
    while not api.desk.batches or not api.desk.batches["batch_0"].looks:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    api.desk.batches["batch_0"].is_cancelled = True
    with pytest.raises(UserError, match=r"batch batch_0 was cancelled at .* with 3 calls not asked; what it"):
        await running
    assert len(Store().get(call.key for call, _ in to_calls(some_cases(3, judge)))) == 3


async def test_a_limit_on_the_cost_is_kept_by_handing_over_no_more_than_it_may_pay(begin):
    api, judge = begin()
    (call, _), *_ = to_calls(some_cases(30, judge))
    most = call.most_cost({"input": 2.0, "output": 10.0})
    rows, budget = await in_batches(some_cases(30, judge), Budget(Store(), "r", cap=20 * most))
    assert {row.score for row in rows} == {3}
    assert max(len(batch.requests) for batch in api.desk.batches.values()) <= 20
    assert budget.usd < 20 * most
    with pytest.raises(BudgetSpent):
        await in_batches(some_cases(40, judge), Budget(Store(), "s", cap=most / 2))


async def test_what_a_batch_that_is_taken_up_may_cost_is_set_aside_while_it_is_waited_for_and_never_refused(begin):
    api, judge = begin(looks=10**9)
    await handed_over(some_cases(10, judge))
    most = to_calls(some_cases(10, judge))[0].call.most_cost({"input": 2.0, "output": 10.0})
    budget = Budget(Store(), "r", cap=21 * most)
    running = asyncio.create_task(in_batches(some_cases(10, judge), budget))
    while api.desk.batches["batch_0"].looks < 5:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert budget.affordable([most] * 10) < 3
    api.desk.looks = 0
    await running
    assert budget.affordable([most] * 10) == 10
    await handed_over(some_cases(30, judge))
    rows, _ = await in_batches(some_cases(30, judge), Budget(Store(), "s", cap=most))
    assert {row.score for row in rows} == {3}


async def test_a_service_that_takes_no_batches_is_refused_in_one_sentence(begin):
    api, judge = begin(has_batches=False)
    with pytest.raises(UserError, match=r"takes no batches \(404\): set judging.batch to false$"):
        await check_batches([judge], Store())
    with pytest.raises(UserError, match=r"takes no batches \(404\): set judging.batch to false$"):
        await in_batches(some_cases(1, judge))
    _, judge = begin()
    await check_batches([judge], Store())
    assert api.requests == api.probes == []


async def test_a_batch_that_its_service_does_not_know_is_no_reason_to_pay_again(begin):
    api, judge = begin(looks=50)
    await handed_over(some_cases(3, judge))
    api.desk.batches.clear()
    with pytest.raises(UserError, match="knows no batch batch_0, which was handed over to it and may be paid"):
        await in_batches(some_cases(3, judge))
    assert api.desk.batches == {}


async def test_a_key_is_sent_with_a_batch_and_shown_nowhere(begin, monkeypatch):
    monkeypatch.setenv("SPILLOVER_JUDGE_KEY", KEY)
    _, judge = begin(fate=lambda number, place: "wrong")
    rows, _ = await in_batches(some_cases(1, judge))
    assert KEY not in str(rows)
