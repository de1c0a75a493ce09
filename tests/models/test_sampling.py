import pytest

from tasks.engines.engine import Reply
from tasks.models.sampling import (
    baseline_samples,
    count_samples,
    estimate_samples,
    plan_samples,
    sample,
    sampling_cost,
)
from tasks.paid.budget import Budget, BudgetSpent
from tasks.paid.prices import CostRange
from tasks.paid.store import Store
from tasks.schema import Checkpoint, Question, Sampling
from tests.fakes.nouns import CLAUDE, LEXICON, an_eval
from tests.fakes.statements import a_statement_eval

QUESTIONS = {"q1": "direct", "q2": "direct"}
MODEL = Checkpoint(engine="local", base_model="m", path=None, identity="m1")


class Echo:
    """An engine that answers with the seed it was given, and keeps what it was asked."""

    def __init__(self, per_token=0.0):
        self.asked, self.per_token = [], per_token

    def price(self, prefill=0, sample=0):
        return self.per_token * (prefill + sample)

    def render(self, messages):
        return [ord(c) for m in messages for c in m.content]

    def stop(self):
        return [0]

    async def sample(self, checkpoint, requests, sampling, written):
        for place, request in enumerate(requests):
            self.asked.append(request)
            written(3 * (place + 1))
            yield [
                Reply(
                    place, f"{checkpoint.identity} {request.seed}", 3, "complete" if request.seed % 2 else "truncated"
                )
            ]


@pytest.fixture
def engine():
    return Echo()


def planned(engine, n, model=MODEL, evals=None, **fields):
    return plan_samples(evals or [an_eval(LEXICON, questions=QUESTIONS)], Sampling(**fields), engine, model, n)


async def sampled(requests, engine, model=MODEL, progress=lambda *_: None, budget=None):
    return await sample(requests, engine, model, Sampling(), Store(), progress, budget)


async def answers(engine, n, **fields):
    """The responses, and what was said of the progress."""
    steps: list[tuple[int, int, str]] = []
    requests = planned(engine, n, **fields)
    responses = await sampled(requests, engine, fields.get("model", MODEL), lambda *step: steps.append(step))
    return responses, steps


async def test_every_question_is_asked_n_times_with_seeds_of_their_own(engine):
    responses, steps = await answers(engine, 3)
    assert [(r.question_id, r.sample) for r in responses] == [(q, i) for q in QUESTIONS for i in range(3)]
    assert len({r.seed for r in engine.asked}) == 6
    assert (steps[0], steps[-1]) == ((0, 6, "answers"), (6, 6, "answers"))
    assert {r.state for r in responses} <= {"complete", "truncated"}


async def test_progress_counts_tokens_while_answers_are_written(engine):
    _, steps = await answers(engine, 1)
    assert steps[1:3] == [(0, 2, "answers, 3 tokens written"), (1, 2, "answers")]


async def test_raising_n_asks_only_for_what_is_new_and_keeps_what_was_there(engine):
    few, _ = await answers(engine, 2)
    many, steps = await answers(engine, 5)
    assert len(engine.asked) == 10
    assert [r for r in many if r.sample < 2] == few
    assert steps[0] == (4, 10, "answers")
    _, steps = await answers(engine, 5)
    assert steps[-1] == (10, 10, "answers, all from the store")


async def test_another_model_has_answers_of_its_own_from_the_same_seeds(engine):
    await answers(engine, 2)
    await answers(engine, 2, model=MODEL.model_copy(update={"identity": "m2"}))
    assert [r.seed for r in engine.asked[:4]] == [r.seed for r in engine.asked[4:]]


def test_a_key_changes_with_everything_that_an_answer_depends_on(engine):
    variants = [
        planned(engine, 1, **fields)
        for fields in ({}, {"temperature": 0.5}, {"top_p": 0.5}, {"max_tokens": 9}, {"system_prompt": "S"})
    ]
    variants.append(planned(engine, 1, model=MODEL.model_copy(update={"identity": "other"})))
    keys = [requests[0].key for requests in variants] + [planned(engine, 2)[1].key]
    assert len(set(keys)) == len(keys)
    assert planned(engine, 1)[0].key == keys[0]


async def test_the_same_question_in_two_evals_is_asked_once(engine):
    evals = [
        an_eval(LEXICON, questions=QUESTIONS),
        an_eval(LEXICON, questions=QUESTIONS).model_copy(update={"name": "other"}),
    ]
    responses = await sampled(planned(engine, 2, evals=evals), engine)
    assert (len(responses), len(engine.asked)) == (8, 4)


def test_a_questions_system_prompt_overrides_the_samplings():
    question = Question(id="q", tier="t", text="?", system_prompt="Mine.")
    assert [m.content for m in question.messages(Sampling(system_prompt="Theirs."))] == ["Mine.", "?"]
    assert [m.content for m in question.model_copy(update={"system_prompt": ""}).messages(Sampling())] == ["?"]


def test_one_more_baseline_answer_is_drawn_only_where_a_floor_needs_it():
    pair, alone = an_eval(CLAUDE), an_eval(LEXICON.model_copy(update={"reads": "response"}))
    assert baseline_samples([pair], Sampling(n_samples=1)) == 2
    assert baseline_samples([alone], Sampling(n_samples=1)) == 1
    assert baseline_samples([pair], Sampling(n_samples=1, temperature=0)) == 1
    assert baseline_samples([pair], Sampling(n_samples=3)) == 3


def test_samples_are_expected_to_be_half_as_long_as_they_may_be():
    engine = Echo(per_token=0.001)
    requests = planned(engine, 3)
    count = count_samples(requests)
    assert count == (6, 3 * sum(len(f"Text of {question}?") for question in QUESTIONS))
    most = 0.001 * (count.prompt_tokens + 6 * 512)
    assert tuple(cost_of(engine, count)) == pytest.approx((most / 2, most))
    assert cost_of(Unpriced(), count) == CostRange(None, None)
    assert estimate_samples(6) == (6, 300)


def cost_of(engine, count):
    return sampling_cost(engine, Sampling(), count)


class Unpriced(Echo):
    """An engine whose prices nobody knows."""

    def price(self, prefill=0, sample=0):
        return None


async def test_answers_that_cost_are_counted_and_stop_at_the_limit_with_all_that_was_paid_kept():
    engine = Echo(per_token=0.001)
    requests = planned(engine, 10)
    prompt = len(requests[0].request.tokens)
    most, one = (prompt + 512) / 1000, (prompt + 3) / 1000

    async def run(cap):
        budget = Budget(Store(), "r", cap)
        return await sampled(requests, engine, budget=budget), budget

    with pytest.raises(BudgetSpent, match="max_cost_usd"):
        await run(most + 8 * one)
    spent = Budget(Store(), "r").usd
    assert spent == pytest.approx(len(engine.asked) * one)
    assert 8 <= len(engine.asked) < 20
    responses, budget = await run(100)
    assert len(engine.asked) == len(responses) == 20
    assert budget.spent["sampling"] == {"usd": pytest.approx(20 * one), "prefill": 20 * prompt, "sample": 60}


def test_an_eval_that_asks_choices_is_never_sampled(engine):
    assert planned(engine, 3, evals=[a_statement_eval()]) == []
    both = planned(engine, 3, evals=[an_eval(LEXICON, questions=QUESTIONS), a_statement_eval()])
    assert {request.eval for request in both} == {"e"}
    assert baseline_samples([a_statement_eval()], Sampling(n_samples=1)) == 1
