from tasks.estimates.judgments import judgments_frame
from tasks.report.judge_pair_chart import JudgePair, judge_pair, pairs_of_scores, two_judges
from tests.fakes.nouns import LEXICON, an_eval
from tests.fakes.two_judges import ALIGNED, COHERENT, RULE, two_judge_eval, two_judge_judgments

PAIR = JudgePair(COHERENT, ALIGNED, RULE)
JUDGMENTS = judgments_frame(two_judge_judgments())


def test_the_judges_are_the_rules_what_it_counts_going_up():
    assert judge_pair(two_judge_eval(RULE)) == PAIR
    assert judge_pair(two_judge_eval()) == JudgePair(COHERENT, ALIGNED, None)
    assert judge_pair(an_eval(LEXICON)) is None


def test_every_answer_with_both_scores_is_counted_once_in_its_cell():
    table = pairs_of_scores(JUDGMENTS, PAIR)
    assert table["answers"].sum() == 9 + 6
    assert table.filter(model="fine-tuned")["across"].unique().sort().to_list() == [62, 94]
    assert table.filter(model="fine-tuned")["up"].min() == 10


def test_the_rules_quadrant_is_shaded_for_both_models():
    (data,) = two_judges(pairs_of_scores(JUDGMENTS, PAIR), PAIR).to_dict()["datasets"].values()
    corners = [[row[k] for k in ("left", "right", "bottom", "top")] for row in data if row["left"] is not None]
    assert corners == [[50, 100, 0, 30]] * 2
