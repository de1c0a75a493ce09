"""What a run shows in the terminal: a line for each stage as it goes, and the effects at the end."""

import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from flows.console import console
from tasks.catalog import UserError
from tasks.estimates.wording import corrected, interval, number_or_dash
from tasks.runs import Run
from tasks.schema import Agreement, Compared, Corrected, CorrectedEffect, Effect, Failure, State
from tasks.visible import visible

if TYPE_CHECKING:
    from tasks.progress import Listener


LINE_EVERY = 30.0
"""Seconds between two lines of a stage, where there is no terminal to move bars in."""
NARROW = {"baseline": "base-\nline", "fine-tuned": "fine-\ntuned", "difference": "differ-\nence"}
"""Headers that leave room for a name, so that no interval is cut off at 80 characters."""
SHORTEST_INTERVAL = len("-0.12 to +0.34")


@contextmanager
def live_progress() -> Iterator[None]:
    """Shows every stage that tells how far it is: as bars in a terminal, as lines where the output goes elsewhere."""
    from tasks.progress import listener

    with _bars() if console.is_terminal else nullcontext(_Lines()) as watch:
        token = listener.set(watch)
        try:
            yield
        finally:
            listener.reset(token)


class _Lines:
    """A line where a stage ends, and one every half minute until then."""

    def __init__(self) -> None:
        self.said: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if done == total or now - self.said.setdefault(stage, now) >= LINE_EVERY:
            self.said[stage] = now
            console.print(f"{stage}: {done:,} of {total:,} {note}".rstrip())


@contextmanager
def _bars() -> Iterator["Listener"]:
    """A line for each stage: name, bar, counts, time gone, time left."""
    columns = (
        TextColumn("{task.fields[stage]}", table_column=Column(no_wrap=True, min_width=17), markup=False),
        BarColumn(12),
        TextColumn(
            "{task.fields[words]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1), markup=False
        ),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
    )
    with Progress(*columns, console=console, refresh_per_second=4, expand=True) as bars:
        shown: dict[str, TaskID] = {}

        def watch(stage: str, done: int, total: int, note: str) -> None:
            if stage not in shown:
                shown[stage] = bars.add_task("", total=total, stage=stage, words="")
            words = visible(f"{done:,} of {total:,} {note}")  # a column shows no string but a text of its own
            bars.update(shown[stage], completed=done, total=total, words=words)

        yield watch


def show_effects(effects: Sequence[Effect]) -> None:
    """A table for each eval."""
    for number, name in enumerate(dict.fromkeys(effect.eval for effect in effects)):
        console.print(*([""] if number else []))
        console.print(effects_table([effect for effect in effects if effect.eval == name]), soft_wrap=False)


def effects_table(effects: Sequence[Effect]) -> Table:
    """The effects by tier. What every row would repeat stands above the table, and why an interval is missing below.

    Several measures are beneath each other, each under its name; of several runs those of one tier.
    """
    effects = _side_by_side([effect for effect in effects if not effect.is_of_question])
    # One blank between columns: a row is 80 characters wide.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", title_style="")
    table.title_justify, table.caption_justify = "left", "left"
    labels = [effect.label if isinstance(effect, Compared) else "" for effect in effects]
    evals, measures = [effect.eval for effect in effects], [effect.measure for effect in effects]
    names = {"eval": evals, "measure": measures, "runs": labels}
    varying = [name for name, values in names.items() if len(set(values)) > 1]
    shared = [f"{name} {values[0]}" for name, values in names.items() if any(values) and name not in varying]
    table.title = ", ".join(shared)
    named = [name for name in varying if name != "measure"]
    for name in ("tier", *named):
        table.add_column(name)
    # Of several runs the means stand in the comparison's page alone.
    means = () if len(varying) > 1 else ("baseline", "fine-tuned")
    for name in (*means, "difference"):
        table.add_column(NARROW.get(name, name) if varying else name, justify="right")
    width = max([SHORTEST_INTERVAL, *(len(text) for effect in effects for text in _intervals(effect))])
    for name in ("these questions 95 %", "new questions 95 %"):
        table.add_column(name, justify="right", min_width=width)
    if not varying:  # where a name takes its room, the counts stand in the report alone
        table.add_column("scored", justify="right")
    for row, effect in enumerate(effects):
        if "measure" in varying and (row == 0 or effect.measure != measures[row - 1]):
            table.add_row(effect.measure, style="bold")
        numbers = (*(_means(effect) if means else ()), number_or_dash(effect.difference, "+"), *_intervals(effect))
        tier = f"  {effect.tier}" if "measure" in varying else effect.tier
        scored = () if varying else (f"{effect.scored_baseline + effect.scored_finetuned:,}",)
        cells = (tier, *(names[name][row] for name in named), *numbers, *scored)
        table.add_row(*cells, style="bold" if effect.is_overall else None)
    table.caption = "\n".join(_reasons(effects))
    return table


def _side_by_side(effects: list[Effect]) -> list[Effect]:
    """Those of one measure and tier beneath each other, whichever run they are of."""
    measures = list(dict.fromkeys((effect.eval, effect.measure) for effect in effects))
    tiers = list(dict.fromkeys(effect.tier for effect in effects))
    return sorted(effects, key=lambda e: (measures.index((e.eval, e.measure)), tiers.index(e.tier)))


def _means(effect: Effect) -> tuple[str, str]:
    return number_or_dash(effect.baseline), number_or_dash(effect.finetuned)


def _intervals(effect: Effect) -> tuple[str, str]:
    """For these questions and for new ones; why one is missing stands beneath the table."""
    return (
        interval(effect.ci_low_fixed_questions, effect.ci_high_fixed_questions),
        interval(effect.ci_low_new_questions, effect.ci_high_new_questions),
    )


def _reasons(effects: list[Effect]) -> list[str]:
    """Each reason for a missing interval or test once, with the rows that it concerns."""
    concerned: dict[str, list[Effect]] = {}
    for effect in effects:
        notes = {"these questions": effect.note_fixed_questions, "new questions": effect.note_new_questions}
        for questions, note in notes.items():
            if note:
                concerned.setdefault(f"{questions}: {note}", []).append(effect)
        if effect.note_test:
            concerned.setdefault(effect.note_test, []).append(effect)
    return [f"– {reason}: {_rows_in_words(some, effects)}" for reason, some in concerned.items()]


def _rows_in_words(some: list[Effect], effects: list[Effect]) -> str:
    """Their tiers; where only some of the table's measures are concerned, these too."""
    tiers: dict[str, list[str]] = {}
    for effect in some:
        tiers.setdefault(effect.measure, []).append(effect.tier)
    concerned = {measure: ", ".join(dict.fromkeys(names)) for measure, names in tiers.items()}
    if len(set(concerned.values())) == 1 and len(concerned) == len({effect.measure for effect in effects}):
        return next(iter(concerned.values()))
    whole = {measure for measure in tiers if len(tiers[measure]) == sum(e.measure == measure for e in effects)}
    return ", ".join(measure if measure in whole else f"{measure} ({names})" for measure, names in concerned.items())


def show_failures(run: Run, number: int = 0) -> None:
    """The judge calls without a score, or one of them with everything that was said; UserError for one that is none."""
    failures = run.failed_calls()
    if number:
        if number > len(failures):
            raise UserError(f"there is no judge call {number}: {run.folder} has {len(failures)} without a score")
        _show_failure(number, failures[number - 1])
        return
    for row, failure in enumerate(failures, 1):
        last = " ".join(failure.attempts[-1].split()) if failure.attempts else ""
        answer = f"{failure.question_id}, {failure.side}, sample {failure.sample}"
        console.print(f"{row:>4}  {failure.state}  {failure.judge}: {answer}")
        console.print(f"      {last}", style="dim", soft_wrap=False, no_wrap=True, overflow="ellipsis")
    states = Counter(judgment.state for judgment in run.judgments()) if run.judged.is_file() else Counter()
    console.print(f"Judge calls without a score: {len(failures):,}. Judgments: " + _counts(states))
    if failures:
        console.print(f"One with all its attempts: spillover failures {shlex.quote(str(run.folder))} NUMBER")
        console.print(f"Ask again for what has no score: spillover judge {shlex.quote(str(run.folder))} --failed")


def _counts(states: "Counter[State]") -> str:
    return ", ".join(f"{count:,} {state}" for state, count in states.most_common()) or "none yet"


def _show_failure(number: int, failure: Failure) -> None:
    console.print(f"judge call {number}: {failure.state}", style="bold")
    answer = f"{failure.question_id}, {failure.side}, sample {failure.sample}"
    console.print(f"{failure.judge} of {failure.eval}, {answer}\n")
    parts = [("Question", failure.question), ("Response", failure.response)]
    parts += [("Beside the baseline's response", failure.against)] if failure.against is not None else []
    parts += [(f"Attempt {n}", attempt) for n, attempt in enumerate(failure.attempts, 1)]
    for title, text in parts:
        console.print(title, style="bold")
        console.print(f"{text}\n")


def show_agreement(rows: list[Agreement]) -> None:
    """How far judges agree, a row for each eval and judge, and beneath it why a coefficient is missing."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.title_justify = "left"
    has_evals = len({row.eval for row in rows}) > 1
    for name in (*(["eval"] if has_evals else []), "judge", "against"):
        table.add_column(name)
    for name in ("answers", "exact", "kappa", "alpha", "mean", "its mean"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        numbers = (row.exact, row.kappa, row.alpha, row.mean, row.other_mean)
        names = (*([row.eval] if has_evals else []), row.judge, row.other)
        table.add_row(*names, f"{row.answers:,}", *map(number_or_dash, numbers))
    console.print(table, soft_wrap=False)
    for row in rows:
        if row.note or row.left_out:
            left_out = f"{row.left_out:,} answers left out: one of the two gave no word" if row.left_out else ""
            console.print(f"– {row.judge}: " + "; ".join(filter(None, (row.note, left_out))))
    console.print("kappa: quadratic weights on a scale; alpha: Krippendorff's, ordinal on a scale", style="dim")


def show_corrected(rows: list[Corrected], effects: list[CorrectedEffect]) -> None:
    """What a person would have found, a row for each side and one for their difference, and the corrected effect."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    for name in ("judged", "read", "judge's mean", "corrected", "95 %"):
        table.add_column(name, justify="right")
    for row in rows:
        means = number_or_dash(row.mean), number_or_dash(row.corrected)
        table.add_row(row.side, f"{row.judged:,}", f"{row.read:,}", *means, interval(row.low, row.high, row.note))
    console.print()
    console.print(table, soft_wrap=False)
    for effect in effects:
        console.print(f"\n{corrected(effect)}", soft_wrap=False)
