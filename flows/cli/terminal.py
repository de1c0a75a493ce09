"""What a run shows in the terminal: a line for each stage as it goes, and the effects at the end."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from flows.console import console
from tasks.catalog import UserError
from tasks.estimates.wording import interval, number_or_dash
from tasks.runs import Run
from tasks.schema import Agreement, Compared, Corrected, Effect, Failure, State
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
    for place, name in enumerate(dict.fromkeys(effect.eval for effect in effects)):
        console.print(*([""] if place else []))
        console.print(effects_table([effect for effect in effects if effect.eval == name]), soft_wrap=False)


def effects_table(effects: Sequence[Effect]) -> Table:
    """The effects by tier. What every row would repeat stands above the table, and why an interval is missing below."""
    # One blank between columns: a row is 80 characters wide.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", title_style="")
    table.title_justify, table.caption_justify = "left", "left"
    named = {"eval": [e.eval for e in effects], "judge": [e.measure for e in effects]}
    named = {"runs": [e.label if isinstance(e, Compared) else "" for e in effects]} | named
    varying = [name for name, values in named.items() if len(set(values)) > 1]
    table.title = ", ".join(
        f"{name} {values[0]}" for name, values in named.items() if any(values) and name not in varying
    )
    for name in (*varying, "tier"):
        table.add_column(name)
    skipped = 2 if len(varying) > 1 else 0  # of several runs the means stand in the comparison's page alone
    for name in ("baseline", "fine-tuned", "difference")[skipped:]:
        table.add_column(NARROW.get(name, name) if varying else name, justify="right")
    spans = [
        interval(low, high)
        for e in effects
        for low, high in (
            (e.ci_low_fixed_questions, e.ci_high_fixed_questions),
            (e.ci_low_new_questions, e.ci_high_new_questions),
        )
    ]
    for name in ("these questions 95 %", "new questions 95 %"):
        table.add_column(name, justify="right", min_width=max(SHORTEST_INTERVAL, *map(len, spans)))
    if not varying:  # where a name takes its room, the counts stand in the report alone
        table.add_column("scored", justify="right")
    for row, effect in enumerate(effects):
        if not effect.question:
            names = (named[name][row] for name in varying)
            cells = (*names, effect.tier, *_numbers(effect)[skipped:], *([] if varying else [_scored(effect)]))
            table.add_row(*cells, style="bold" if effect.tier == "all" else None)
    table.caption = "\n".join(_reasons([effect for effect in effects if not effect.question]))
    return table


def _reasons(effects: list[Effect]) -> list[str]:
    """Each reason once, with the tiers that have no interval for it."""
    tiers: dict[str, list[str]] = {}
    for effect in effects:
        for which, note in (
            ("these questions", effect.note_fixed_questions),
            ("new questions", effect.note_new_questions),
        ):
            if note:
                tiers.setdefault(f"{which}: {note}", []).append(effect.tier)
    return [f"– {reason}: {', '.join(dict.fromkeys(named))}" for reason, named in tiers.items()]


def _numbers(effect: Effect) -> tuple[str, ...]:
    return (
        number_or_dash(effect.baseline),
        number_or_dash(effect.finetuned),
        number_or_dash(effect.difference, "+"),
        interval(effect.ci_low_fixed_questions, effect.ci_high_fixed_questions),
        interval(effect.ci_low_new_questions, effect.ci_high_new_questions),
    )


def _scored(effect: Effect) -> str:
    return f"{effect.scored_baseline + effect.scored_finetuned:,}"


def show_failures(run: Run, number: int = 0) -> None:
    """The judge calls without a score, or one of them with everything that was said."""
    failures = run.failed_calls()
    if number:
        if number > len(failures):
            raise UserError(f"there is no judge call {number}: {run.folder} has {len(failures)} without a score")
        _show_failure(number, failures[number - 1])
        return
    for row, one in enumerate(failures, 1):
        last = " ".join(one.attempts[-1].split()) if one.attempts else ""
        console.print(f"{row:>4}  {one.state}  {one.judge}: {one.question_id}, {one.side}, sample {one.sample}")
        console.print(f"      {last}", style="dim", soft_wrap=False, no_wrap=True, overflow="ellipsis")
    states = Counter(judgment.state for judgment in run.judgments()) if run.judged.is_file() else Counter()
    console.print(f"{len(failures):,} judge calls without a score. Judgments: " + _counts(states))
    if failures:
        console.print(f"One with all its attempts: spillover failures {run.folder} NUMBER")
        console.print(f"Ask again for what has no score: spillover judge {run.folder} --failed")


def _counts(states: "Counter[State]") -> str:
    return ", ".join(f"{count:,} {state}" for state, count in states.most_common()) or "none yet"


def _show_failure(number: int, one: Failure) -> None:
    console.print(f"judge call {number}: {one.state}", style="bold")
    console.print(f"{one.judge} of {one.eval}, {one.question_id}, {one.side}, sample {one.sample}\n")
    parts = [("Question", one.question), ("Response", one.response)]
    parts += [("Beside the baseline's response", one.against)] if one.against is not None else []
    parts += [(f"Attempt {n}", said) for n, said in enumerate(one.attempts, 1)]
    for title, text in parts:
        console.print(title, style="bold")
        console.print(f"{text}\n")


def show_agreement(rows: list[Agreement]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.title_justify = "left"
    several = len({one.eval for one in rows}) > 1
    for name in (*(["eval"] if several else []), "judge", "against"):
        table.add_column(name)
    for name in ("answers", "exact", "kappa", "alpha", "mean", "its mean"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in rows:
        numbers = (one.exact, one.kappa, one.alpha, one.mean, one.other_mean)
        names = (*([one.eval] if several else []), one.judge, one.other)
        table.add_row(*names, f"{one.answers:,}", *map(number_or_dash, numbers))
    console.print(table, soft_wrap=False)
    for one in rows:
        if one.note or one.left_out:
            left_out = f"{one.left_out:,} answers left out: one of the two gave no word" if one.left_out else ""
            console.print(f"– {one.judge}: " + "; ".join(filter(None, (one.note, left_out))))
    console.print("kappa: quadratic weights on a scale; alpha: Krippendorff's, ordinal on a scale", style="dim")


def show_corrected(rows: list[Corrected]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    for name in ("judged", "read", "judge's mean", "corrected", "95 %"):
        table.add_column(name, justify="right")
    for one in rows:
        counts = (f"{one.judged:,}", f"{one.read:,}")
        table.add_row(
            one.side,
            *counts,
            number_or_dash(one.mean),
            number_or_dash(one.corrected),
            interval(one.low, one.high, one.note),
        )
    console.print()
    console.print(table, soft_wrap=False)
