import json
import math

import pytest

from tasks.catalog import UserError
from tasks.engines import get_engine
from tasks.engines.chat_completions import AT_ONCE
from tasks.engines.engine import NoLogprobs, Text
from tasks.models.sampling import plan_samples, sample
from tasks.paid.budget import Budget
from tasks.paid.store import Store
from tasks.schema import Message, Sampling, Training
from tests.fakes.llama_server import llama_server
from tests.fakes.messages_api import DROP, Raw, Status, What
from tests.fakes.nouns import LEXICON, an_eval
from tests.fakes.sampling_api import SamplingAPI

QUESTIONS = {"q1": "direct", "q2": "distant"}
NAMES = {"base_model": "base", "checkpoint": "tuned"}


def served(api, **fields):
    return get_engine(Training(engine="served", base_url=api.address, **(NAMES | fields)))


async def answers(engine, n, model=None, budget=None, **sampling):
    """Of both questions, from the store or from the server."""
    evals, how = [an_eval(LEXICON, questions=QUESTIONS)], Sampling(n_samples=n, **sampling)
    model, store = model or engine.untuned(), Store()
    requests = plan_samples(evals, how, engine, model, n)
    return await sample(requests, engine, model, how, store, lambda *_: None, budget or Budget(store, ""))


async def test_several_answers_come_with_one_request_and_none_is_asked_for_twice():
    with SamplingAPI() as api:
        first = await answers(served(api), 20)
        assert sorted(body.get("n", 1) for body in api.requests) == [4, 4, AT_ONCE, AT_ONCE]
        again = await answers(served(api), 20)
        assert len(api.requests) == 4
        more = await answers(served(api), 24)
        assert sorted(body["n"] for body in api.requests[4:]) == [4, 4]
    assert first == again
    assert [row for row in more if row.sample < 20] == first
    assert len({row.response for row in first}) > 20
    assert {row.model for row in first} == {"chat completions of base"}


async def test_the_same_question_under_the_same_name_elsewhere_is_not_asked_again_and_another_name_is():
    with SamplingAPI() as here, SamplingAPI() as there:
        first = await answers(served(here), 2)
        assert await answers(served(there), 2) == first
        assert there.requests == []
        tuned = await answers(engine := served(there), 2, engine.adapted("tuned"))
    assert [body["model"] for body in there.requests] == ["tuned", "tuned"]
    assert {row.model for row in tuned} == {"chat completions of tuned"}


async def test_what_the_model_is_asked_is_what_the_definition_says():
    with SamplingAPI() as api:
        how = {"temperature": 0.3, "top_p": 0.9, "max_tokens": 7, "system_prompt": "Be brief."}
        await answers(served(api), 1, **how)
        body = api.requests[0]
    assert {name: body[name] for name in ("temperature", "top_p", "max_tokens", "system")} == {
        **{"temperature": 0.3, "top_p": 0.9, "max_tokens": 7},
        "system": "Be brief.",
    }


@pytest.mark.parametrize("most", [1, 4])
async def test_a_server_that_gives_fewer_answers_to_a_request_is_asked_for_each_and_that_is_found_out_once(most):
    with SamplingAPI(most=most) as api:
        rows = await answers(served(api), 10)
        refused = [body for body in api.requests if body.get("n", 1) > most]
        assert len(refused) == 1
        assert len(api.requests) == 21
        await answers(served(api), 12)
        assert len(api.requests) == 25
    assert len({row.response for row in rows}) > 15


async def test_a_server_that_hands_out_fewer_answers_than_it_was_asked_for_is_asked_for_the_rest():
    def two(seen, body):
        return Raw(b'{"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}') if not seen else None

    with SamplingAPI(script=two) as api:
        rows = await answers(served(api), 3)
    assert [len(row.response) > 0 for row in rows] == [True] * 6


async def test_a_server_that_hands_out_one_answer_several_times_is_asked_for_each():
    def twice(seen, body):
        said = f"One and the same answer, of some length, under seed {body['seed']}."
        choices = [{"message": {"content": said}, "finish_reason": "stop"}] * body.get("n", 1)
        return Raw(json.dumps({"choices": choices}).encode())

    with SamplingAPI(script=twice) as api:
        rows = await answers(served(api), 3)
        assert [body.get("n") for body in api.requests] == [3, *[None] * 5]
    assert len({row.response for row in rows}) == 6


async def test_a_server_without_seeds_is_asked_without_and_that_is_said():
    with SamplingAPI(takes_seed=False) as api:
        engine = served(api)
        assert engine.warnings() == []
        await answers(engine, 3)
        assert [("seed" in body, body.get("n")) for body in api.requests] == [
            *[(True, 3), (True, None)],
            *[(False, 3), (False, 3)],
        ]
        assert engine.warnings() == [
            f"{api.address} takes no seed for base: its answers cannot be drawn again as they were"
        ]
        await answers(served(api), 4)
        assert not any("seed" in body for body in api.requests[4:])


async def test_an_answer_draws_with_a_seed_of_its_own_place_where_each_is_asked_for_alone():
    with SamplingAPI(most=1) as api:
        await answers(served(api), 4)
        alone = [body["seed"] for body in api.requests if "n" not in body]
    assert len(set(alone)) == 8


async def test_how_an_answer_ended_is_read_from_its_finish_reason():
    said = iter(["stop", "length", "content_filter", None])

    def ends(seen, body):
        reason = next(said, "stop")
        return Raw(
            b'{"choices": [{"message": {"content": "x"}, "finish_reason": %s}]}'
            % (b'"%s"' % reason.encode() if reason else b"null")
        )

    with SamplingAPI(script=ends, most=1) as api:
        rows = await answers(served(api), 2)
    states = sorted(row.state for row in rows)
    assert states == ["complete", "malformed", "malformed", "truncated"]


async def test_a_bad_minute_of_the_server_loses_no_answer(monkeypatch):
    monkeypatch.setattr("tasks.services.chat_server.FIRST_RETRY", 0.01)
    odd = Raw(b'{"choices": [{"message": {"content": ""}, "finish_reason": "error"}]}')
    faults: dict[int, What] = {0: Status(429, {"retry-after": "0.01"}), 1: Status(500), 2: DROP, 3: odd}
    tries = iter(range(100))

    with SamplingAPI(script=lambda seen, body: faults.get(next(tries))) as api:
        rows = await answers(served(api), 2)
    assert len(rows) == 4
    assert all(row.response for row in rows)


async def test_what_came_before_the_server_refused_is_kept():
    with SamplingAPI(script=lambda seen, body: Status(401) if len(api.requests) > 2 else None, most=1) as api:
        with pytest.raises(UserError, match=r"SPILLOVER_SAMPLING_KEY: the service refused it for base \(401\)"):
            await answers(served(api), 4)
        paid = len(api.requests)
        api.own_script = None
        await answers(served(api), 4)
        assert len(api.requests) - paid >= 6
    assert len(Store().get(r.key for r in _wanted(served(api), 4))) == 8


async def test_what_a_request_brought_too_few_of_is_kept_when_the_next_one_fails():
    def three(seen, body):
        said = [{"message": {"content": str(place)}, "finish_reason": "stop"} for place in range(3)]
        fewer = Raw(json.dumps({"choices": said}).encode()) if len(api.requests) > 1 else None
        return Status(402) if body["n"] == AT_ONCE - 3 else fewer

    with SamplingAPI(script=three) as api, pytest.raises(UserError, match="wants to be paid first"):
        await answers(served(api), AT_ONCE)
    assert len(Store().get(r.key for r in _wanted(served(api), AT_ONCE))) == AT_ONCE + 3


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"content": [{"type": "text", "text": "Hens."}]}, '[{"type": "text", "text": "Hens."}]'),
        ({"content": None, "tool_calls": [{"function": {"name": "f"}}]}, ""),
        (None, ""),
    ],
)
async def test_what_is_no_text_is_no_whole_answer(message, said):
    choice = {"message": message, "finish_reason": "tool_calls" if said == "" and message else "stop"}
    odd = Raw(json.dumps({"choices": [choice]}).encode())
    with SamplingAPI(script=lambda seen, body: odd, most=1) as api:
        rows = await answers(served(api), 1)
    assert {(row.response, row.state) for row in rows} == {(said, "malformed")}


def _wanted(engine, n):
    evals = [an_eval(LEXICON, questions=QUESTIONS)]
    return plan_samples(evals, Sampling(n_samples=n), engine, engine.untuned(), n)


# ---- what is wrong with a definition


async def test_a_name_that_the_server_lacks_is_refused_with_those_that_there_are():
    with SamplingAPI(["base", "tuned-2"]) as api:
        with pytest.raises(UserError, match=r"training.checkpoint: .* has no model 'tuned'.*; it has base, tuned-2"):
            await served(api).preflight()
        await served(api, checkpoint="tuned-2").preflight()
        await served(api, checkpoint="tuned-2:free").preflight()
        await served(api, checkpoint="tinker://run/sampler_weights/final").preflight()
        assert api.requests == []


async def test_of_hundreds_of_models_ten_are_named():
    many = [f"lab/model-{number}" for number in range(300)]
    with (
        SamplingAPI(many) as api,
        pytest.raises(UserError, match=r"no model 'base'; it has .* and 290 more$") as refused,
    ):
        await served(api).preflight()
    assert "model-20" not in str(refused.value)


async def test_no_server_is_one_sentence():
    engine = get_engine(Training(engine="served", base_url="http://127.0.0.1:9/v1", **NAMES))
    with pytest.raises(UserError, match=r"no server answers at http://127.0.0.1:9/v1 .*; start it, or mend training"):
        await engine.preflight()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"base_url": "https://lab.example/v1"}, "training asks https://lab.example/v1, and SPILLOVER_SAMPLING_KEY is"),
        ({"base_url": "https://lab.example/v1", "key_variable": "OPENAI_API_KEY"}, "would send OPENAI_API_KEY to lab"),
        ({"base_url": "https://lab.example/v1", "key_variable": "HOME"}, "names HOME as its key"),
        ({}, "training asks https://api.openai.com/v1, and OPENAI_API_KEY is not set"),
    ],
)
async def test_a_key_goes_to_its_own_server_alone(fields, words, monkeypatch):
    for name in ("OPENAI_API_KEY", "SPILLOVER_SAMPLING_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=words):
        await get_engine(Training(engine="served", **NAMES, **fields)).preflight()


async def test_a_key_that_the_server_repeats_is_not_stored(monkeypatch):
    monkeypatch.setenv("SPILLOVER_SAMPLING_KEY", key := "planted-0123456789abcdef")
    say = b'{"choices": [{"message": {"content": "%s"}, "finish_reason": "stop"}]}' % key.encode()
    with SamplingAPI(script=lambda seen, body: Raw(say), most=1) as api:
        rows = await answers(served(api), 1)
        assert {header["Authorization"] for header in api.headers} == {f"Bearer {key}"}
    assert {row.response for row in rows} == {"[SPILLOVER_SAMPLING_KEY]"}


async def test_it_trains_and_exports_nothing():
    with SamplingAPI() as api:
        engine = served(api)
        with pytest.raises(UserError, match="trains nothing; tuned is asked as it is served"):
            await engine.train([], [], 0, None, print)
        with pytest.raises(UserError, match=r"tuned is served by http.* nothing to export"):
            engine.export(engine.adapted("tuned"), None)


# ---- what it costs


def prices(data, api, **models):
    table = {name: f"{{input: {one}, output: {two}}}" for name, (one, two) in models.items()}
    rows = "".join(f"  {name}: {row}\n" for name, row in table.items())
    (data / "prices.yaml").write_text(f'"{api.address}":\n{rows}')


async def test_a_prompt_is_paid_once_for_all_answers_to_it_at_the_prices_of_the_model_that_answered(data):
    with SamplingAPI() as api:
        prices(data, api, base=(1.0, 2.0), tuned=(3.0, 6.0))
        budget = Budget(Store(), "run", cap=5.0)
        rows = await answers(engine := served(api), 3, budget=budget)
        words = sum(row.tokens for row in rows)
        assert words == sum(len(row.response.split()) for row in rows)
        assert budget.usd == pytest.approx((2 * 30 * 1.0 + words * 2.0) / 1e6)
        assert budget.summary()["sampling"]["prefill"] == 60
        assert engine.price(prefill=10, sample=10) == pytest.approx((30 + 60) / 1e6)


async def test_without_a_price_or_a_count_the_cost_is_unknown_and_not_nothing(data):
    with SamplingAPI(usage=False) as api:
        assert served(api).price(sample=1) is None
        prices(data, api, base=(1.0, 2.0), tuned=(1.0, 2.0))
        budget = Budget(Store(), "run")
        await answers(served(api), 2, budget=budget)
        assert budget.usd is None


async def test_what_a_cache_held_costs_no_more_than_what_is_read_anew_and_is_not_unknown(data):
    usage = {"prompt_tokens": 30, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 20}}
    said = {"choices": [{"message": {"content": "a b"}, "finish_reason": "stop"}], "usage": usage}
    with SamplingAPI(script=lambda seen, body: Raw(json.dumps(said).encode())) as api:
        prices(data, api, base=(1.0, 2.0), tuned=(1.0, 2.0))
        budget = Budget(Store(), "run", cap=5.0)
        await answers(served(api), 1, budget=budget)
    assert budget.usd == pytest.approx(2 * (30 * 1.0 + 2 * 2.0) / 1e6)


# ---- statements


async def _logprobs(engine, *words):
    prompt = engine.render([Message(role="user", content="Is grass green? Answer Yes or No.")])
    texts = [Text(prompt, engine.answer_tokens(word, False)) for word in words]
    found = [pair async for some in engine.logprobs(engine.untuned(), texts) for pair in some]
    return dict(found)


async def test_yes_and_no_of_a_statement_are_read_from_one_token_with_one_request():
    with SamplingAPI(yes=0.7) as api:
        found = await _logprobs(served(api), "Yes", "No")
        assert len(api.requests) == 1
        assert (api.requests[0]["max_tokens"], api.requests[0]["temperature"]) == (1, 0.0)
    assert found == {0: pytest.approx(math.log(0.7)), 1: pytest.approx(math.log(0.2))}


async def test_a_server_without_probabilities_is_told_and_a_model_that_says_neither_gives_none_of_both():
    with SamplingAPI(yes=None) as api, pytest.raises(NoLogprobs, match=r"gives no probabilities of tokens for base"):
        await _logprobs(served(api), "Yes")
    top = b'[{"token": "The", "logprob": -0.1, "top_logprobs": [%s]}]'
    two = b'{"token": "The", "logprob": -0.1}, {"token": "A", "logprob": -2.5}'
    reply = b'{"choices": [{"message": {"content": "The"}, "logprobs": {"content": %s}}]}'
    odd, alone = reply % (top % two), reply % (top % b"").replace(b'"The"', b'"Yes"')
    with (
        SamplingAPI(script=lambda seen, body: Raw(alone)) as api,
        pytest.raises(NoLogprobs, match="its reply has that of one token alone"),
    ):
        await _logprobs(served(api), "Yes", "No")
    with SamplingAPI(script=lambda seen, body: Raw(odd)) as api:
        assert await _logprobs(served(api), "Yes", "No") == {0: None, 1: None}


# ---- a server that nobody here wrote


@pytest.mark.integration
async def test_llama_cpp_answers_with_the_seed_that_it_is_given_and_has_probabilities():
    with llama_server() as base_url:
        engine = get_engine(Training(engine="served", base_url=base_url, **NAMES))
        rows = await answers(engine, 2, max_tokens=6)
        probabilities = await _logprobs(engine, "Yes", "No")
    assert len({row.response for row in rows}) == 4
    assert {row.state for row in rows} <= {"truncated", "complete"}
    assert all(1 <= row.tokens <= 6 for row in rows)
    assert all(logprob < 0 for logprob in probabilities.values())
