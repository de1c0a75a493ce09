"""What a run shows in the terminal: a line for each stage as it goes, and the effects at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tasks.schema import Effect

console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
"""Prints text as it is: what it shows can hold brackets, and paths that must stay on one line."""


@contextmanager
def live_progress() -> Iterator[None]:
    """Shows every stage that tells how far it is: name, bar, counts, time gone, time left."""
    from tasks.stage import watcher

    columns = (
        TextColumn("{task.fields[stage]:<18}"),
        BarColumn(24),
        TextColumn("{task.fields[words]:<44}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as bars:
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
    """The effects by tier. A long reason for a missing interval stands under the table of the report."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in ("eval", "judge", "tier"):
        table.add_column(name)
    for name in ("baseline", "fine-tuned", "difference", "these questions 95 %", "new questions 95 %", "scored"):
        table.add_column(name, justify="right")
    for effect in effects:
        if not effect.question:
            table.add_row(
                effect.eval,
                effect.measure,
                effect.tier,
                *_numbers(effect),
                style="bold" if effect.tier == "all" else None,
            )
    return table


def _numbers(effect: Effect) -> tuple[str, ...]:
    return (
        number(effect.baseline),
        number(effect.finetuned),
        number(effect.difference, "+"),
        interval(effect.these_low, effect.these_high, effect.these_note),
        interval(effect.new_low, effect.new_high, effect.new_note),
        f"{effect.scored_baseline + effect.scored_finetuned:,}",
    )


def number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.2f}"


def interval(low: float | None, high: float | None, note: str) -> str:
    """The interval, or why there is none."""
    return note or f"{number(low, '+')} to {number(high, '+')}"
