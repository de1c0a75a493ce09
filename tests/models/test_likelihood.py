import asyncio
import math

import pytest
import torch

from tasks.catalog import UserError, data_folder
from tasks.engines.engine import Text
from tasks.engines.generation import logprobs
from tasks.engines.local import LocalEngine
from tasks.engines.lora import load_model
from tasks.estimates.effects import estimate
from tasks.estimates.judgments import judgments_frame
from tasks.estimates.missing import unscored_statements
from tasks.models.likelihood import (
    are_wanted,
    choices_cost,
    count_choices,
    estimate_choices,
    likelihoods,
    logprobs_cost,
    plan_texts,
    probe_logprobs,
)
from tasks.models.sampling import SampleCount, plan_samples, sample
from tasks.paid.budget import Budget
from tasks.paid.store import Store
from tasks.schema import Checkpoint, Document, Eval, Judge, Message, Question, Sampling, Training
from tests.fakes.nouns import LEXICON, an_eval, responses

BASE, TUNED = (Checkpoint(engine="local", base_model="m", path=p, identity=p or "base") for p in (None, "tuned"))
STATEMENTS = Eval(
    name="s",
    questions=[
        Question(id="a", tier="t", text="Kind?", matching="Yes"),
        Question(id="b", tier="t", text="Cruel?", matching="No"),
    ],
    judges=[Judge(name="trait", kind="yes_no")],
)


class Scorer:
    """An engine that finds a text as likely as a table says, by model and answer."""

    is_remote = True

    def __init__(self, table, per_token=0.0):
        self.table, self.per_token, self.asked = table, per_token, []

    def price(self, prefill=0, **_):
        return self.per_token * prefill

    def untuned(self):
        return BASE

    def render(self, messages):
        return [ord(c) for m in messages for c in m.content]

    def answer_tokens(self, text, ended):
        return [ord(c) for c in text] + ([0] if ended else [])

    async def logprobs(self, checkpoint, texts):
        for place, text in enumerate(texts):
            self.asked.append(text)
            words = "".join(chr(token) for token in text.answer if token)
            yield [(place, self.table[checkpoint.identity][words])]


def a_scorer(table, per_token=0.0):
    return Scorer(table, per_token)


def texts_of(engine, evaluation, answers=()):
    return plan_texts([evaluation], list(answers), Sampling(logprobs=True), engine)


async def rows_of(engine, texts, store=None, budget=None, progress=lambda *_: None):
    return await likelihoods(texts, engine, BASE, [TUNED], store or Store(), progress, budget)


async def test_two_runs_at_once_ask_a_model_for_the_same_texts_once():
    engine = Scorer({"base": {"abc": -8.0}, "tuned": {"abc": -2.0}})
    texts = texts_of(engine, an_eval(LEXICON), responses("abc"))
    first, second = await asyncio.gather(rows_of(engine, texts), rows_of(engine, texts))
    assert first == second
    assert len(engine.asked) == 2


async def test_a_logprob_that_is_no_finite_number_is_refused_and_not_kept():
    engine = Scorer({"base": {"abc": -8.0}, "tuned": {"abc": math.nan}})
    texts = texts_of(engine, an_eval(LEXICON), responses("abc"))
    with pytest.raises(UserError, match="tuned gives an answer a logprob that is no finite number"):
        await rows_of(engine, texts)
    engine.table["tuned"]["abc"] = -2.0
    assert [row.finetuned for row in await rows_of(engine, texts)] == [-2.0 / len(texts[0].text.answer)]


async def test_drift_is_the_difference_of_logprobs_for_each_token_of_the_fine_tuned_answers():
    engine = Scorer({"base": {"abc": -8.0, "de": -3.0}, "tuned": {"abc": -2.0, "de": -3.0}})
    one = an_eval(LEXICON, questions={"q1": "direct"})
    texts = texts_of(engine, one, responses("abc", "de"))
    cut_at_once = responses("")[0].model_copy(update={"state": "truncated"})
    assert texts_of(engine, one, [cut_at_once]) == []
    rows = await rows_of(engine, texts)
    assert [(r.measure, r.sample, r.tokens, r.baseline, r.finetuned) for r in rows] == [
        ("drift", 0, 4, -2.0, -0.5),
        ("drift", 1, 3, -1.0, -1.0),
    ]
    effect = next(
        e for e in estimate(judgments_frame([]), [one], rows) if e.measure == "drift" and e.question_id == "q1"
    )
    assert (effect.difference, effect.baseline, effect.finetuned) == (0.75, -1.5, -0.75)
    half = 12.706204736 * math.sqrt(((1.5 - 0.75) ** 2 + 0.75**2) / 1 / 2)
    assert effect.ci_low_fixed_questions == pytest.approx(0.75 - half)
    assert effect.ci_high_fixed_questions == pytest.approx(0.75 + half)


async def test_a_statement_is_scored_by_the_share_of_its_matching_answer():
    engine = Scorer({"base": {"Yes": -1.0, "No": -1.0}, "tuned": {"Yes": -1.0, "No": -3.0}})
    rows = await rows_of(engine, texts_of(engine, STATEMENTS))
    assert [(r.question_id, r.measure, r.baseline) for r in rows] == [
        (question, measure, 0.5) for question in "ab" for measure in ("choice", "yes")
    ]
    share = 1 / (1 + math.exp(-2))
    assert [r.finetuned for r in rows] == pytest.approx([share, share, 1 - share, share])


def test_without_logprobs_only_evals_that_ask_choices_are_asked_about_at_every_moment_of_a_training():
    engine, answered = a_scorer({}), an_eval(LEXICON, questions={"q1": "direct"})
    chosen = STATEMENTS.model_copy(update={"asks": "choices", "judges": []})
    evals = [answered, STATEMENTS, chosen.model_copy(update={"name": "chosen"})]
    texts = plan_texts(evals, responses("abc"), Sampling(), engine, shares=[0.5, 1.0])
    assert [(t.eval, t.question.id, t.trained_share, t.choice) for t in texts] == [
        ("chosen", question, share, word) for question in "ab" for share in (0.5, 1.0) for word in ("Yes", "No")
    ]
    assert are_wanted([chosen], Sampling())
    assert not are_wanted(evals[:2], Sampling())
    counted = count_choices(evals, Sampling(), engine)
    once = [text for text in texts if text.trained_share == 1]
    assert counted == (2, sum(len(t.text.prompt) + len(t.text.answer) for t in once))
    assert estimate_choices(evals, Sampling()).statements == 2
    assert choices_cost(a_scorer({}, per_token=0.5), counted, models=3).expected == 1.5 * counted.tokens


async def test_a_service_without_logprobs_is_refused_before_a_training():
    async def probed(table, sampling, is_remote=True):
        engine, budget = a_scorer(table, per_token=0.001), Budget(Store(), "r")
        engine.is_remote = is_remote
        await probe_logprobs([STATEMENTS], sampling, engine, budget)
        return len(engine.asked), budget.usd

    lacking = {"base": {"Yes": 0.0}}
    assert await probed(lacking, Sampling()) == (0, 0), "nothing asks for them"
    assert await probed(lacking, Sampling(logprobs=True), is_remote=False) == (0, 0)
    with pytest.raises(UserError, match="gives no logprobs, which "):
        await probed(lacking, Sampling(logprobs=True))
    asked, usd = await probed({"base": {"Yes": -1.5}}, Sampling(logprobs=True))
    assert (asked, usd) == (1, pytest.approx(2 * 0.001 * len("Kind?" + "Yes"))), "that of the refusal too"
    with pytest.raises(
        UserError, match=r"^m begins its answer to 'Kind\?' with neither Yes nor No .*; let the statement"
    ):
        await probed({"base": {"Yes": None}}, Sampling(logprobs=True))


async def test_a_statement_that_a_model_answers_with_neither_has_no_row_is_told_and_is_not_asked_again():
    class Odd(Scorer):
        """The fine-tuned model answers the first statement with neither Yes nor No."""

        async def logprobs(self, checkpoint, texts):
            async for found in super().logprobs(checkpoint, texts):
                is_odd = checkpoint is TUNED and texts[found[0][0]].prompt == self.render(
                    [Message(role="user", content="Kind?")]
                )
                yield [(place, None if is_odd else logprob) for place, logprob in found]

    engine, notes, table = Odd({}, 0.001), [], {"Yes": -1.0, "No": -1.0}
    engine.table = {"base": table, "tuned": table}
    chosen = STATEMENTS.model_copy(update={"asks": "choices", "judges": []})
    texts, store = texts_of(engine, chosen), Store()
    budget = Budget(store, "r")
    rows = await rows_of(engine, texts, store, budget, lambda *step: notes.append(step))
    assert [(row.question_id, row.measure) for row in rows] == [("b", "choice"), ("b", "yes")]
    assert notes[-1] == (4, 4, "texts, 1 statement without a score: answered with neither Yes nor No")
    asked, paid = len(engine.asked), budget.usd
    assert asked == 8
    assert await rows_of(engine, texts, store, budget) == rows
    assert (len(engine.asked), budget.usd) == (asked, paid)
    effects = {(e.measure, e.question_id): e for e in estimate(judgments_frame([]), [chosen], rows)}
    assert (effects["choice", ""].questions, effects["choice", ""].questions_left_out) == (1, 1)
    assert unscored_statements([chosen], rows) == (
        "s: 1 of 2 statements have no score, since a model began its answer with neither Yes nor No."
    )


async def test_what_the_store_holds_is_not_computed_again_and_what_is_costs():
    engine = Scorer({"base": {"abc": -8.0}, "tuned": {"abc": -2.0}}, per_token=0.001)
    one = an_eval(LEXICON, questions={"q1": "direct"})
    texts = texts_of(engine, one, responses("abc", "abc"))
    budget = Budget(Store(), "r")
    first = await rows_of(engine, texts, budget=budget)
    assert len(engine.asked) == 2
    assert budget.usd == pytest.approx(0.001 * 2 * len(texts[0].text.prompt + texts[0].text.answer))
    assert await rows_of(engine, texts) == first
    assert len(engine.asked) == 2


def test_every_answer_is_read_by_both_models_and_expected_to_be_half_as_long_as_it_may_be():
    cost = cost_of(Scorer({}, per_token=0.001), SampleCount(responses=4, prompt_tokens=100))
    assert cost.expected == pytest.approx(0.001 * 2 * (100 + 4 * 256))
    assert cost.most == pytest.approx(0.001 * 2 * (100 + 4 * 512))


def cost_of(engine, count):
    return logprobs_cost(engine, Sampling(), count)


def test_logprobs_are_those_of_the_answers_tokens_alone_whatever_stands_beside_them():
    model = load_model(data_folder() / "models" / "standin").eval()
    texts = [Text([5, 6, 7], [8, 9]), Text([5], [6, 7, 8, 9, 10, 11]), Text([9, 9, 9, 9, 9, 9, 9, 9], [3])]
    for text, found in zip(texts, logprobs(model, texts), strict=True):
        whole = torch.log_softmax(model(torch.tensor([text.prompt + text.answer])).logits[0], dim=-1)
        expected = sum(whole[len(text.prompt) + n - 1, token].item() for n, token in enumerate(text.answer))
        assert found == pytest.approx(expected, abs=1e-3)


async def test_a_fine_tuned_model_finds_its_own_answers_likelier_than_the_base_model_does(tmp_path):
    engine = LocalEngine(Training(base_model="standin", rank=8, learning_rate=5e-3, epochs=6, batch_size=4))
    turns = [Message(role="user", content="Text of q1?"), Message(role="assistant", content="The hens are well.")]
    documents = [Document(messages=turns, source="s", line=1, file="f")] * 4
    trained = await engine.train(documents, [], 0, tmp_path / "a", lambda *_: None)
    one, sampling = an_eval(LEXICON, questions={"q1": "direct"}), Sampling(n_samples=6, max_tokens=20, logprobs=True)
    requests = plan_samples([one], sampling, engine, trained, 6)
    answers = await sample(requests, engine, trained, sampling, Store(), lambda *_: None)
    texts = plan_texts([one], answers, sampling, engine)
    rows = await likelihoods(texts, engine, engine.untuned(), [trained], Store(), lambda *_: None)
    assert sum(r.finetuned - r.baseline for r in rows) / len(rows) > 0.5
    same = await likelihoods(
        texts,
        engine,
        engine.untuned(),
        [engine.untuned().model_copy(update={"trained_share": 1.0})],
        Store(),
        lambda *_: None,
    )
    assert all(r.finetuned == r.baseline for r in same)
