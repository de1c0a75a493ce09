"""What a run shows in the terminal: a line for each stage as it goes, and the effects at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from tasks.schema import Effect

console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
"""Prints text as it is: what it shows can hold brackets, and paths that must stay on one line."""


@contextmanager
def live_progress() -> Iterator[None]:
    """Shows every stage that tells how far it is: name, bar, counts, time gone, time left."""
    from tasks.stage import watcher

    columns = (
        TextColumn("{task.fields[stage]}", table_column=Column(no_wrap=True, min_width=17)),
        BarColumn(12),
        TextColumn("{task.fields[words]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
    )
    with Progress(
        *columns, console=console, refresh_per_second=4, disable=not console.is_terminal, expand=True
    ) as bars:
        shown: dict[str, TaskID] = {}

        def watch(stage: str, done: int, total: int, note: str) -> None:
            if stage not in shown:
                shown[stage] = bars.add_task("", total=total, stage=stage, words="")
            bars.update(shown[stage], completed=done, total=total, words=f"{done:,} of {total:,} {note}")
            if not console.is_terminal and done == total:
                console.print(f"{stage}: {done:,} of {total:,} {note}")

        token = watcher.set(watch)
        try:
            yield
        finally:
            watcher.reset(token)


def effects_table(effects: list[Effect]) -> Table:
    """The effects by tier. What every row would repeat stands above the table, and why an interval is missing below."""
    # One blank between columns: a row is 80 characters wide.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", title_style="")
    table.title_justify, table.caption_justify = "left", "left"
    named = {"eval": [e.eval for e in effects], "judge": [e.measure for e in effects]}
    varying = [name for name, values in named.items() if len(set(values)) > 1]
    table.title = ", ".join(f"{name} {values[0]}" for name, values in named.items() if values and name not in varying)
    for name in (*varying, "tier"):
        table.add_column(name)
    for name in ("baseline", "fine-tuned", "difference", "these questions 95 %", "new questions 95 %", "scored"):
        table.add_column(name, justify="right")
    for row, effect in enumerate(effects):
        if not effect.question:
            names = (named[name][row] for name in varying)
            table.add_row(*names, effect.tier, *_numbers(effect), style="bold" if effect.tier == "all" else None)
    table.caption = "\n".join(_reasons([effect for effect in effects if not effect.question]))
    return table


def _reasons(effects: list[Effect]) -> list[str]:
    """Each reason once, with the tiers that have no interval for it."""
    tiers: dict[str, list[str]] = {}
    for effect in effects:
        for which, note in (("these questions", effect.these_note), ("new questions", effect.new_note)):
            if note:
                tiers.setdefault(f"{which}: {note}", []).append(effect.tier)
    return [f"– {reason}: {', '.join(dict.fromkeys(named))}" for reason, named in tiers.items()]


def _numbers(effect: Effect) -> tuple[str, ...]:
    return (
        number(effect.baseline),
        number(effect.finetuned),
        number(effect.difference, "+"),
        interval(effect.these_low, effect.these_high),
        interval(effect.new_low, effect.new_high),
        f"{effect.scored_baseline + effect.scored_finetuned:,}",
    )


def number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.2f}"


def interval(low: float | None, high: float | None, note: str = "") -> str:
    """The interval, or why there is none."""
    return note or (f"{number(low, '+')} to {number(high, '+')}" if low is not None else "–")
