import pytest

from tasks.catalog import data_folder
from tasks.judging.costs import count_calls, judging_cost
from tasks.judging.rubrics import to_call
from tasks.paid.prices import CostRange
from tasks.schema import Judge, Sampling
from tests.fakes.nouns import CLAUDE, an_eval

ALONE = CLAUDE.model_copy(update={"reads": "response"})
GREEDY = Sampling(n_samples=1, temperature=0)


@pytest.mark.parametrize(
    ("judge", "sampling", "models", "calls"),
    [
        (CLAUDE, Sampling(), 1, 2 * 10 * 4),
        (CLAUDE, Sampling(), 3, 4 * 10 * 4),
        (CLAUDE, GREEDY, 1, 4),
        (ALONE, GREEDY, 1, 2 * 4),
    ],
)
def test_both_models_answers_are_judged_and_one_greedy_baseline_answer_has_no_pair(judge, sampling, models, calls):
    assert count_calls(judge, an_eval(judge), sampling, sampling.n_samples, models) == calls


@pytest.mark.parametrize(("judge", "texts"), [(ALONE, 1), (CLAUDE, 2)])
@pytest.mark.parametrize(("answers", "reply"), [("json", 80), ("plain", 5)])
def test_a_call_costs_its_rubric_its_answers_and_its_reply(judge, texts, answers, reply):
    (data_folder() / "prices.yaml").write_text("claude: {claude-sonnet-4-6: {input: 3, output: 15}}\n")
    judge = judge.model_copy(update={"answers": answers, "max_tokens": 200})
    call = to_call(judge, "Text of q1?", "", "" if texts == 2 else None)
    rubric = len(call.system + call.user) // 4
    cost = judging_cost(judge, an_eval(judge), calls=1000, answer_tokens=300)
    assert cost.expected == pytest.approx(1000 * ((rubric + texts * 150) * 3 + reply * 15) / 1e6)
    assert cost.most == pytest.approx(1000 * ((rubric + texts * 300) * 3 + 200 * 15) / 1e6)


def test_without_a_price_the_cost_is_unknown():
    judge = Judge(name="claude", kind="claude", prompt="Score it.", model="of-no-price")
    assert judging_cost(judge, an_eval(judge), calls=10, answer_tokens=300) == CostRange(None, None)


def test_in_batches_it_costs_the_listed_prices_of_batches():
    prices = "{input: 3, output: 15, batch_input: 1.5, batch_output: 7.5}"
    (data_folder() / "prices.yaml").write_text(f"claude: {{claude-sonnet-4-6: {prices}}}\n")
    directly = judging_cost(ALONE, an_eval(ALONE), calls=1000, answer_tokens=300)
    in_batches = judging_cost(ALONE, an_eval(ALONE), calls=1000, answer_tokens=300, in_batches=True)
    assert [usd * 2 for usd in in_batches if usd] == pytest.approx([*directly])
    (data_folder() / "prices.yaml").write_text("claude: {claude-sonnet-4-6: {input: 3, output: 15}}\n")
    assert judging_cost(ALONE, an_eval(ALONE), 10, 300, in_batches=True) == CostRange(None, None)
