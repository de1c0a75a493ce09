"""Audits of a run's judges: with themselves, with other judges, with a person; written to audits/ and the report.

await repeat_judgments("demo/one", share=0.1)
compare("demo/one", "demo/by-opus")
"""

import asyncio
import shlex
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from prefect import flow

from flows.experiment import check_judges
from flows.judge_again import with_limits
from flows.judging import ask, cases_of
from tasks.catalog import UserError, read_text
from tasks.files import Row, write_rows, write_text
from tasks.judging.audit import Place, Word, agree, correct, judge_of_sheet, place, read_sheet, some_of, to_sheet, words
from tasks.judging.judging import judge_all
from tasks.paid.budget import Budget
from tasks.paid.store import Store
from tasks.report.report import render
from tasks.runs import Run
from tasks.schema import Agreement, Corrected, Eval, Judge
from tasks.tables import as_table, write_table


@flow(name="repeat-judgments", flow_run_name="{share:.0%} of the judgments again")
async def repeat_judgments(
    run: str, share: float = 0.1, judges: list[str] | None = None, seed: int = 0, max_cost_usd: float = 0.0
) -> str:
    """Ask Claude's judges a share of their calls once more and report how far they agree with themselves.

    Args:
        run: The run's folder, experiment/run, or an experiment for its latest run.
        share: Share of each judge's calls, drawn at random.
        judges: Names of judges. Empty: all of kind claude.
        seed: Seed of the draw; a larger share of the same seed asks only for what is new.
        max_cost_usd: The most that the run may cost, all that it cost before included. 0: as the run has it.
    """
    here = _judged(Run.find(run))
    experiment, evals = with_limits(here.experiment(), 0, max_cost_usd), here.evals()
    named = {(one.name, judge.name): judge for one in evals for judge in one.judges if judge.kind == "claude"}
    chosen = {key: judge for key, judge in named.items() if not judges or key[1] in judges}
    if not chosen:
        raise UserError(f"{here.folder} has no such judge of kind claude; there is {_names(evals)}")
    check_judges(experiment, evals, None)
    judgments = here.judgments()
    said = {key: words(judgments, *key) for key in chosen}
    answered = [c for c in cases_of(here, experiment, evals) if place(c) in said.get((c.eval, c.judge.name), {})]
    drawn = [replace(case, repeat=1) for case in some_of(answered, share, seed)]
    again = ["spillover", "audit", "repeat", str(here.folder), "--share", f"{share:g}", "--seed", str(seed)]
    again += ["--judges", ",".join(judges)] if judges else []
    resume = f"{shlex.join(again)} --max-cost-usd ..."
    budget = Budget(Store(), here.identity, experiment.max_cost_usd, resume)
    lost = await ask(here, experiment, drawn, "repeat", budget)
    repeated = await asyncio.to_thread(judge_all, drawn, budget.store, lost)
    asked = {key: {place(c) for c in drawn if (c.eval, c.judge.name) == key} for key in chosen}
    rows = [
        agree(_only(said[key], asked[key]), words(repeated, *key), key[0], judge, "itself, asked again")
        for key, judge in chosen.items()
    ]
    write_rows(here.audits / "repeat.jsonl", repeated)
    _write(here, "repeat", rows, Agreement)
    return str(here.folder)


def compare(place_of_one: str, place_of_other: str, judge: str = "", against: str = "") -> tuple[Run, list[Agreement]]:
    """Two runs' judges on the answers that both judged: those of one name, or `judge` and `against`."""
    one, other = _judged(Run.find(place_of_one)), _judged(Run.find(place_of_other))
    same = _same_answers(one, other)
    pairs = [
        (name, mine, theirs)
        for name, mine in _judges(one.evals())
        for eval_of_other, theirs in _judges(other.evals())
        if name == eval_of_other and _are_compared(mine.name, theirs.name, judge, against)
    ]
    if one.folder == other.folder:
        pairs = [(name, mine, theirs) for name, mine, theirs in pairs if mine.name != theirs.name]
    if not pairs:
        raise UserError(
            f"no two judges to compare: {one.name} has {_names(one.evals())}, {other.name} has "
            f"{_names(other.evals())}; name them with --judge and --against"
        )
    first, second = one.judgments(), other.judgments()
    rows = []
    for name, mine, theirs in pairs:
        known = _only(words(first, name, mine.name), same)
        label = f"{theirs.name} ({theirs.model if theirs.kind == 'claude' else 'lexicon'})"
        rows.append(agree(known, _only(words(second, name, theirs.name), same), name, mine, label))
    _write(one, "compare", rows, Agreement)
    return one, rows


def export_sheet(run: Run, file: Path, judge: str, size: int, seed: int) -> tuple[Path, Judge]:
    """Writes the sheet, and beside it the rubric that its reader follows."""
    here = _judged(run)
    known = [(name, one) for name, one in _judges(here.evals()) if not judge or one.name == judge]
    if not known:
        raise UserError(f"--judge: {here.folder} has no judge {judge!r}; there is {_names(here.evals())}")
    if file.exists():
        raise UserError(f"{file} exists already and may hold somebody's scores; give another name")
    name, one = next(((n, j) for n, j in known if j.kind == "claude"), known[0])
    table = to_sheet(here, name, one, cases_of(here, here.experiment(), here.evals()), size, seed)
    write_text(file.with_suffix(".rubric.txt"), _rubric_for_a_person(one))
    return write_text(file, table), one


def import_sheet(run: Run, file: Path) -> tuple[list[Agreement], list[Corrected]]:
    here = _judged(run)
    text = read_text(file)
    name, judge = judge_of_sheet(here, here.evals(), text, str(file))
    read = read_sheet(here, judge, name, text, str(file))
    said = words(here.judgments(), name, judge.name)
    agreement = [agree(_only(said, read.keys()), read, name, judge, "a person")]
    corrected = correct(name, judge, said, read)
    write_text(here.audits / f"sheet_{judge.name}.csv", text)
    _write(here, "person", [*_of_others(here.audit("person", Agreement), agreement), *agreement], Agreement)
    _write(here, "corrected", [*_of_others(here.audit("corrected", Corrected), corrected), *corrected], Corrected)
    return agreement, corrected


def _judged(run: Run) -> Run:
    if not run.judged.is_file():
        raise UserError(f"{run.folder} is not judged yet; finish it with `{run.resume_command}`")
    return run


def _write(run: Run, name: str, rows: list[Row], noun: type[Row]) -> None:
    with run.exclusive():
        write_table(run.audits / f"{name}.csv", as_table(rows, noun))
        if run.report.is_file():
            write_text(run.report, render(run))


def _of_others(before: list[Row], now: list[Row]) -> list[Row]:
    """Rows of judges whose sheet was read earlier."""
    mine = {(row.eval, row.judge) for row in now}  # type: ignore[attr-defined] # both kinds of rows have them
    return [row for row in before if (row.eval, row.judge) not in mine]  # type: ignore[attr-defined]


def _only(said: dict[Place, Word], keys: Container[Place]) -> dict[Place, Word]:
    return {key: word for key, word in said.items() if key in keys}


def _same_answers(one: Run, other: Run) -> set[Place]:
    """Where both runs hold the very same text."""
    texts = []
    for run in (one, other):
        baseline, finetuned = run.responses()
        sides = [(r, "baseline") for r in baseline] + [(r, "finetuned") for r in finetuned]
        texts.append({Place(r.eval, r.question_id, r.sample, side, r.trained_share): r.response for r, side in sides})
    return {key for key, text in texts[0].items() if texts[1].get(key) == text}


def _judges(evals: list[Eval]) -> list[tuple[str, Judge]]:
    return [(one.name, judge) for one in evals for judge in one.judges]


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
    told = f"Write into the column score: {', or '.join(allowed)}. Leave empty what you skip.\n"
    return f"{judge.prompt.strip()}\n\n{pair}{told}"
