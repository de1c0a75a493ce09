"""Audits of a run's judges: with themselves, with other judges, with a person; written to audits/ and the report.

await repeat_judgments("demo/one", share=0.1)
compare("demo/one", "demo/by-opus")
"""

import asyncio
import shlex
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars
from prefect import flow

from flows.judge_again import with_limits
from flows.judging import FanOut, cases_of
from flows.preflight import check_judges
from tasks.catalog import UserError, read_text
from tasks.estimates.judgments import judgments_frame, scan_judgments
from tasks.estimates.noise import judge_noise
from tasks.files import write_rows, write_text
from tasks.judging.audit import (
    Ratings,
    agree,
    correct,
    correct_effect,
    judge_of_sheet,
    ratings_of,
    read_sheet,
    some_of,
    to_sheet,
)
from tasks.judging.cases import Case
from tasks.judging.judgments import judge_all
from tasks.paid.budget import Budget
from tasks.paid.store import Store
from tasks.report.report import render
from tasks.report.results_page import overall_effects
from tasks.runs import Run
from tasks.schema import (
    Agreement,
    AnswerKey,
    Corrected,
    CorrectedEffect,
    Effect,
    Eval,
    Judge,
    JudgeNoise,
    Judgment,
)
from tasks.tables import as_table, write_table


@flow(name="repeat-judgments", flow_run_name="{share:.0%} of the judgments again")
async def repeat_judgments(
    run: str, share: float = 0.1, judges: list[str] | None = None, seed: int = 0, max_cost_usd: float = 0.0
) -> str:
    """Ask judges a share of their calls once more and report how far they agree with themselves.

    Args:
        run: The run's folder, experiment/run, or an experiment for its latest run.
        share: Share of each judge's calls, drawn at random.
        judges: Names of judges. Empty: all that ask a model.
        seed: Seed of the draw; a larger share of the same seed asks only for what is new.
        max_cost_usd: The most that the run may cost, all that it cost before included. 0: as the run has it.
    """
    here = _judged(Run.find(run))
    experiment, evals = with_limits(here.experiment(), 0, max_cost_usd), here.evals()
    chosen = _chosen_judges(here, evals, judges or [])
    check_judges(experiment, evals, None)
    judgments = here.judgments()
    first = {key: ratings_of(judgments, *key) for key in chosen}
    cases = [case for case in cases_of(here, experiment, evals) if (case.eval, case.judge.name) in chosen]
    rated = [case for case in cases if case.answer_key in first[case.eval, case.judge.name]]
    drawn = [replace(case, repeat=1) for case in some_of(rated, share, seed)]
    budget = Budget(Store(), here.identity, experiment.max_cost_usd, _command(here, share, judges or [], seed))
    failed_calls = await FanOut(here, experiment, budget, "repeat").ask(drawn)
    second = await asyncio.to_thread(judge_all, drawn, budget.store, failed_calls)
    rows = []
    for (evaluation, name), judge in chosen.items():
        before = _only(first[evaluation, name], _answers_of(drawn, evaluation, name))
        rows.append(agree(before, ratings_of(second, evaluation, name), evaluation, judge, "itself, asked again"))
    write_rows(here.audits / "repeat.jsonl", second)
    noise = await asyncio.to_thread(_noise, here, evals, cases, second)
    _write(here, {"repeat": as_table(rows, Agreement), "noise": as_table(noise, JudgeNoise)})
    return str(here.folder)


def _noise(run: Run, evals: list[Eval], cases: list[Case], second: list[Judgment]) -> list[JudgeNoise]:
    """What of the effects' uncertainty is the judges', by what their first and second calls say."""
    judgments, repeats = scan_judgments(run.judged), judgments_frame(second)
    calls: dict[str, dict[str, dict[AnswerKey, str]]] = {}
    for case in cases:
        calls.setdefault(case.eval, {}).setdefault(case.judge.name, {})[case.answer_key] = case.call.key
    return [row for e in evals for row in judge_noise(e, judgments, repeats, calls.get(e.name, {}))]


def _chosen_judges(run: Run, evals: list[Eval], names: list[str]) -> dict[tuple[str, str], Judge]:
    """The judges that are asked, by eval and name; raises UserError where none of them is named."""
    asked = {(evaluation, judge.name): judge for evaluation, judge in _judges(evals) if judge.is_asked}
    chosen = {key: judge for key, judge in asked.items() if not names or key[1] in names}
    if not chosen:
        raise UserError(f"{run.folder} has no such judge that asks a model; there is {_names(evals)}")
    return chosen


def _command(run: Run, share: float, judges: list[str], seed: int) -> str:
    """What goes on with the repetition under a higher limit on its cost."""
    words = ["spillover", "audit", "repeat", str(run.folder), "--share", f"{share:g}", "--seed", str(seed)]
    words += ["--judges", ",".join(judges)] if judges else []
    return f"{shlex.join(words)} --max-cost-usd ..."


def _answers_of(cases: list[Case], evaluation: str, judge: str) -> set[AnswerKey]:
    return {case.answer_key for case in cases if (case.eval, case.judge.name) == (evaluation, judge)}


def compare(run: str, other_run: str, judge: str = "", against: str = "") -> tuple[Run, list[Agreement]]:
    """Two runs' judges on the answers that both judged: those of one name, or `judge` and `against`.

    Raises UserError for a run that is not judged, and where no two judges can be compared.
    """
    one, other = _judged(Run.find(run)), _judged(Run.find(other_run))
    pairs = [
        (evaluation, mine, theirs)
        for evaluation, mine in _judges(one.evals())
        for evaluation_of_other, theirs in _judges(other.evals())
        if evaluation == evaluation_of_other and _are_compared(mine.name, theirs.name, judge, against)
    ]
    if one.folder == other.folder:
        pairs = [pair for pair in pairs if pair[1].name != pair[2].name]
    if not pairs:
        raise UserError(
            f"no two judges to compare: {one.name} has {_names(one.evals())}, {other.name} has "
            f"{_names(other.evals())}; name them with --judge and --against"
        )
    shared, first, second = _same_answers(one, other), one.judgments(), other.judgments()
    rows = []
    for evaluation, mine, theirs in pairs:
        ours = _only(ratings_of(first, evaluation, mine.name), shared)
        others = _only(ratings_of(second, evaluation, theirs.name), shared)
        label = f"{theirs.name} ({theirs.model if theirs.is_asked else theirs.kind})"
        rows.append(agree(ours, others, evaluation, mine, label))
    _write(one, {"compare": as_table(rows, Agreement)})
    return one, rows


def export_sheet(run: Run, file: Path, judge: str, size: int, seed: int) -> tuple[Path, Judge]:
    """Writes the sheet, and beside it the rubric that its reader follows.

    `judge` is a name, or empty for the first that is asked. Raises UserError for a file that exists already.
    """
    here = _judged(run)
    known = [(evaluation, one) for evaluation, one in _judges(here.evals()) if not judge or one.name == judge]
    if not known:
        raise UserError(f"--judge: {here.folder} has no judge {judge!r}; there is {_names(here.evals())}")
    if file.exists():
        raise UserError(f"{file} exists already and may hold somebody's scores; give another name")
    evaluation, chosen = next((pair for pair in known if pair[1].is_asked), known[0])
    table = to_sheet(here, evaluation, chosen, cases_of(here, here.experiment(), here.evals()), size, seed)
    write_text(file.with_suffix(".rubric.txt"), _rubric_for_a_person(chosen))
    return write_text(file, table), chosen


class Read(NamedTuple):
    """What a sheet that a person filled in says of the judge."""

    agreement: list[Agreement]
    corrected: list[Corrected]
    effects: list[CorrectedEffect]
    """The judge's effect and the corrected one; none where the run has no effects yet."""


def import_sheet(run: Run, file: Path) -> Read:
    """Reads a sheet; writes how far judge and person agree, the corrected means, and the corrected effect.

    Raises UserError with the line for what cannot be read.
    """
    here = _judged(run)
    text = read_text(file)
    evaluation, judge = judge_of_sheet(here, here.evals(), text, str(file))
    read = read_sheet(here, judge, evaluation, text, str(file))
    rated = ratings_of(here.judgments(), evaluation, judge.name)
    found = Read(
        [agree(_only(rated, read.keys()), read, evaluation, judge, "a person")],
        correct(evaluation, judge, rated, read),
        [row for effect in _overall(here, evaluation, judge.name) for row in correct_effect(effect, rated, read)],
    )
    write_text(here.audits / f"sheet_{evaluation}_{judge.name}.csv", text)
    person = _with_others(here.audit("person", Agreement), found.agreement)
    means = _with_others(here.audit("corrected", Corrected), found.corrected)
    effects = _with_others(here.audit("corrected_effects", CorrectedEffect), found.effects)
    tables = {"person": as_table(person, Agreement), "corrected": as_table(means, Corrected)}
    _write(here, tables | {"corrected_effects": as_table(effects, CorrectedEffect)})
    return found


def _overall(run: Run, evaluation: str, judge: str) -> list[Effect]:
    """The judge's effect over all questions; none in a run that has not been estimated."""
    effects = overall_effects(run.estimates()) if run.effects.is_file() else []
    return [effect for effect in effects if (effect.eval, effect.measure) == (evaluation, judge)]


def _judged(run: Run) -> Run:
    if not run.judged.is_file():
        raise UserError(f"{run.folder} is not judged yet; finish it with `{run.resume_command}`")
    if all(evaluation.asks == "choices" for evaluation in run.evals()):
        raise UserError(
            f"{run.folder} asks choices alone: its numbers are read from probabilities, and there is no judge to audit"
        )
    return run


def _write(run: Run, tables: dict[str, polars.DataFrame]) -> None:
    """Tables of audits, by name, and the report with them."""
    with run.exclusive():
        for name, table in tables.items():
            write_table(run.audits / f"{name}.csv", table)
        if run.report.is_file():
            write_text(run.report, render(run))


AboutJudge = TypeVar("AboutJudge", bound=Agreement | Corrected | CorrectedEffect)


def _with_others(before: list[AboutJudge], now: list[AboutJudge]) -> list[AboutJudge]:
    """The rows of judges whose sheet was read earlier, and those of now."""
    mine = {(row.eval, row.judge) for row in now}
    return [row for row in before if (row.eval, row.judge) not in mine] + now


def _only(ratings: Ratings, answers: Container[AnswerKey]) -> Ratings:
    return {answer: rating for answer, rating in ratings.items() if answer in answers}


def _same_answers(one: Run, other: Run) -> set[AnswerKey]:
    """Where both runs hold the very same text."""
    texts, other_texts = _texts(one), _texts(other)
    return {answer for answer, text in texts.items() if other_texts.get(answer) == text}


def _texts(run: Run) -> dict[AnswerKey, str]:
    baseline, finetuned = run.responses()
    before = {response.answer_key("baseline"): response.response for response in baseline}
    return before | {response.answer_key("finetuned"): response.response for response in finetuned}


def _judges(evals: list[Eval]) -> list[tuple[str, Judge]]:
    return [(evaluation.name, judge) for evaluation in evals for judge in evaluation.judges]


def _names(evals: list[Eval]) -> str:
    return ", ".join(dict.fromkeys(judge.name for _, judge in _judges(evals)))


def _are_compared(mine: str, theirs: str, judge: str, against: str) -> bool:
    if judge or against:
        return mine == (judge or against) and theirs == (against or judge)
    return mine == theirs


def _rubric_for_a_person(judge: Judge) -> str:
    allowed = [f"an integer from {judge.scale.low} to {judge.scale.high}"] if judge.scale else []
    allowed += list(judge.labels)
    pair = "Score the response beside the text it is compared with.\n" if judge.reads == "pair" else ""
    how_to_answer = f"Write into the column score: {', or '.join(allowed)}. Leave empty what you skip.\n"
    return f"{judge.prompt.strip()}\n\n{pair}{how_to_answer}"
