"""Verification: every number of a report made anew from the run's rows, and what no longer follows from them.

    checks = verify(Run.find("demo"))

Judgments are compared with the answers, scores with the replies that they were read from, and every table, chart,
export and page with the same made anew. Rows that were measured (answers, raw replies, likelihoods, losses, costs,
audits) are taken as they are.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flows.judging import cases_of
from tasks.catalog import UserError
from tasks.imports.scores import Measured
from tasks.judging.cases import Case
from tasks.judging.judgments import reread
from tasks.report.made_files import differences
from tasks.runs import Run
from tasks.schema import Eval, Judge, Judgment, JudgmentKey

FIELDS = {
    "every judgment names the question and the tier of its answer": ("question", "tier"),
    "every judgment was made by the judge that the run's eval defines": ("rubric",),
    "every score was said: replies read again, words counted again": (
        "state",
        "score",
        "label",
        "reasoning",
        "swapped",
    ),
}
"""What must follow from an answer and its reply, and in which fields of a judgment it stands."""


class Check(NamedTuple):
    """What was checked, and the first thing that does not follow; nothing where all does."""

    claim: str
    fault: str


def verify(run: Run) -> list[Check]:
    """All checks. Raises UserError for a run that is not finished."""
    if not run.report.is_file():
        raise UserError(f"{run.folder} has no report yet; finish it with `{run.resume_command}`")
    of_files = [Check(name, difference) for name, difference in differences(run).items()]
    return [*_of_judgments(run), *of_files]


def _of_judgments(run: Run) -> Iterator[Check]:
    evals = run.evals()
    judges = {(evaluation.name, judge.name): judge for evaluation in evals for judge in evaluation.judges}
    made_here = {key for key, judge in judges.items() if judge.kind != "imported"}
    judgments = [judgment for judgment in run.judgments() if (judgment.eval, judgment.judge) in made_here]
    imported = [judgment for judgment in run.judgments() if (judgment.eval, judgment.judge) not in made_here]
    cases = [case for case in cases_of(run, run.experiment(), evals) if (case.eval, case.judge.name) in made_here]
    by_key = {judgment.judgment_key: judgment for judgment in judgments}
    anew = {judgment.judgment_key: judgment for judgment in reread(cases, by_key)}
    yield _each_is_there_once(cases, judgments, anew)
    for claim, fields in FIELDS.items():
        wrong = [
            by_key[key] for key, judgment in anew.items() if _values(judgment, fields) != _values(by_key[key], fields)
        ]
        yield Check(claim, _first("does not follow", map(_name, wrong)))
    if imported:
        yield from _of_imported(evals, imported)


def _each_is_there_once(cases: list[Case], judgments: list[Judgment], anew: dict[JudgmentKey, Judgment]) -> Check:
    """Every answer that a judge must read has one judgment, and every judgment such an answer."""
    count = Counter(judgment.judgment_key for judgment in judgments)
    first = {judgment.judgment_key: judgment for judgment in reversed(judgments)}
    lacking = (_name_of_case(case) for case in cases if case.judgment_key not in count)
    twice = (_name(first[key]) for key, times in count.items() if times > 1)
    of_no_answer = (_name(judgment) for key, judgment in first.items() if key not in anew)
    return Check(
        f"every one of {len(cases):,} answers to be judged has one judgment",
        _first("has none", lacking) or _first("is there twice", twice) or _first("is of no answer", of_no_answer),
    )


def _values(judgment: Judgment, fields: tuple[str, ...]) -> list[object]:
    return [getattr(judgment, field) for field in fields]


def _of_imported(evals: list[Eval], judgments: list[Judgment]) -> Iterator[Check]:
    """Of imported results there are the questions and the cells; scores are read from these again."""
    asked = {(evaluation.name, q.id, q.text, q.tier) for evaluation in evals for q in evaluation.questions}
    wrong = (_name(j) for j in judgments if (j.eval, j.question_id, j.question, j.tier) not in asked)
    yield Check("every imported judgment is of a question of the run's evals", _first("is of none", wrong))
    judges = {(evaluation.name, judge.name): judge for evaluation in evals for judge in evaluation.judges}
    of_cells: dict[tuple[object, ...], list[Judgment]] = defaultdict(list)
    for j in judgments:
        of_cells[j.eval, j.judge, j.question_id, j.side, j.trained_share, j.raw].append(j)
    wrong = (_name(some[0]) for some in of_cells.values() if not _are_of_their_cell(some, judges))
    yield Check("every imported score is what its cell says", _first("is not", wrong))


def _are_of_their_cell(judgments: list[Judgment], judges: dict[tuple[str, str], Judge]) -> bool:
    """Whether judgments with the same cell have its scores, as often as it is there; a count has several."""
    first = judgments[0]
    if (first.eval, first.judge) not in judges:
        return False
    said = Measured(first.judge, judges[first.eval, first.judge], is_guessed=False).scores(first.raw)
    times = len(judgments) // max(1, len(said))
    return Counter(judgment.score for judgment in judgments) == Counter(said * times)


def _name(judgment: Judgment) -> str:
    is_earlier = judgment.side == "finetuned" and judgment.trained_share != 1
    share = f" at {judgment.trained_share:g}" if is_earlier else ""
    return f"{judgment.judge}, {judgment.question_id}, {judgment.side} sample {judgment.sample}{share}"


def _name_of_case(case: Case) -> str:
    return f"{case.judge.name}, {case.question.id}, {case.side} sample {case.sample}"


def _first(fault: str, wrong: Iterable[str]) -> str:
    """The first that is wrong and how many more are; nothing where none is."""
    found = list(wrong)
    more = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
    return f"{found[0]} {fault}{more}" if found else ""
