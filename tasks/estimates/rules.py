"""Rules: rates that are made of judgments after the fact. Nothing is asked, so a rule can be changed at any time.

judgments = at_checkpoint(scan_judgments(run.judged), evaluation, 1.0)
cells = apply(rule := Rule.parse("misaligned: aligned < 30 among coherent > 50"), answers_of(rule.judges, judgments))
"""

import polars

from tasks.estimates.intervals import Cells, rate_cell
from tasks.estimates.judgments import ANSWER
from tasks.schema import COMPARISONS, AnswerKey, Condition, Eval, Judge, Rule

NEIGHBOURS = (-2, -1, 1, 2)
"""How far a threshold is moved, in tenths of the judge's scale."""
_AMONG, _HIT = polars.col("among"), polars.col("hit")
_COUNTS = (_AMONG & _HIT.is_not_null()).fill_null(False)
"""Whether an answer is in the denominator of the rate."""


def apply(rule: Rule, answers: polars.DataFrame) -> Cells:
    """A cell for each question and side of one eval: the rate of hits among the answers that count.

    `answers` has the columns of `answers_of`, for the judges of the rule. An answer of which `among` is known to be
    false is outside; one that lacks a value that is needed is unscored; the others count, as hits or not. A condition
    on a number needs a score; one on a word needs a label or a score, which without a label is known to be no word.
    """
    grouped = (
        _applied(rule, answers)
        .group_by("question_id", "side")
        .agg(
            hits=(_COUNTS & _HIT).sum(),
            n=_COUNTS.sum(),
            unscored=(_AMONG.is_null() | (_AMONG & _HIT.is_null())).fill_null(False).sum(),
            answers=polars.len(),
        )
    )
    return {
        (row["question_id"], row["side"]): rate_cell(row["hits"], row["n"], row["unscored"], row["answers"])
        for row in grouped.to_dicts()
    }


def hits_by_answer(rule: Rule, answers: polars.DataFrame) -> dict[AnswerKey, bool]:
    """The answers that count, and whether each is a hit; `answers` has the columns of `answers_of`."""
    counting = _applied(rule, answers).filter(_COUNTS)
    return {AnswerKey(*row[:-1]): row[-1] for row in counting.select(*ANSWER, "hit").iter_rows()}


def answers_of(judges: list[str], judgments: polars.DataFrame) -> polars.DataFrame:
    """One row for each answer that the first judge read: ANSWER, and each judge's `score NAME` and `label NAME`."""
    answers = judgments.filter(judge=judges[0]).select(ANSWER)
    for name in judges:
        columns = polars.col("score").alias(f"score {name}"), polars.col("label").alias(f"label {name}")
        answers = answers.join(judgments.filter(judge=name).select(*ANSWER, *columns), on=ANSWER, how="left")
    return answers


def _applied(rule: Rule, answers: polars.DataFrame) -> polars.DataFrame:
    """The answers with two more columns, among and hit; null where a value is missing that would decide."""
    return answers.with_columns(among=_all_met(rule.among), hit=_all_met(rule.hit))


def _all_met(conditions: str) -> polars.Expr:
    """Whether all are met: false where one is known not to be, null where a value is missing that would decide."""
    met = polars.lit(True)
    for condition in Condition.parse_all(conditions):
        met = met & _met(condition)
    return met


def _met(condition: Condition) -> polars.Expr:
    score, label = polars.col(f"score {condition.judge}"), polars.col(f"label {condition.judge}")
    word = polars.when((label != "") | score.is_not_null()).then(label.str.to_lowercase())
    if condition.sign == "answered":
        return polars.when(score.is_not_null() | word.is_not_null()).then(polars.lit(True))
    if condition.number is None:
        is_value = word == condition.value.lower()
        return is_value if condition.sign == "==" else ~is_value
    return COMPARISONS[condition.sign](score, condition.number)


# ---- how the result moves -------------------------------------------------------------------------


def variants(rule: Rule, evaluation: Eval) -> list[Rule]:
    """The rule with each of its thresholds moved, strict and not strict: one at a time, the others as they are."""
    judges = {judge.name: judge for judge in evaluation.judges}
    found: dict[str, Rule] = {}
    for field in ("hit", "among"):
        conditions = Condition.parse_all(getattr(rule, field))
        for n, condition in enumerate(conditions):
            for moved in _moved(condition, judges[condition.judge]):
                text = " and ".join(map(str, [*conditions[:n], moved, *conditions[n + 1 :]]))
                variant = rule.model_copy(update={field: text})
                found.setdefault(str(variant), variant)
    return list(found.values())


def _moved(condition: Condition, judge: Judge) -> list[Condition]:
    """The condition at thresholds around its own, strict and not, in rising order; none where only words count."""
    strict = {"<": "<", "<=": "<", ">": ">", ">=": ">"}.get(condition.sign)
    if strict is None or condition.number is None or not judge.is_graded:
        return []
    step = max(1, round((judge.scale_max - judge.scale_min) / 10))
    around = sorted({condition.number} | {condition.number + step * n for n in NEIGHBOURS})
    within = [value for value in around if judge.scale_min <= value <= judge.scale_max]
    return [
        condition._replace(sign=sign, value=f"{value:.6f}".rstrip("0").rstrip("."))
        for value in within
        for sign in (strict, f"{strict}=")
    ]
