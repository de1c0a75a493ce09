"""How often the intervals hold the truth, and how often the tests find an effect where there is none.

uv run python -m tests.benchmarks.coverage [--replicates N] [--seed N] [--only WORDS] [--out FILE]

Answers are drawn from a known truth. Every cell of the parts below is printed as it is done, and after each part its
worst; what is done stands in FILE (by default in the folder of temporary files) and is not done again by the same code,
so an interrupted benchmark goes on. --only: the parts whose titles hold these words. Some of it runs with fewer
replicates in tests/estimates/test_coverage.py.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy

from tasks.estimates.new_questions import ENOUGH_FOR_RATES
from tests.benchmarks.coverage_draws import COVERED, NO_EFFECT, REPORTED, STRATA, Drawn
from tests.benchmarks.coverage_grids import (
    CROSSED,
    CROSSED_RATES,
    FIXED_RATES,
    GROUPS,
    GROUPS_OF_RATES,
    METHODS,
    MOVER,
    SKEWED,
)
from tests.benchmarks.simulation import IN_USE, Found, Simulated

REPLICATES = 8_000
SEED = 2026
"""None of those with which a method was chosen."""
PROJECT = Path(__file__).parents[2]
Results = dict[str, dict[str, Found]]
"""By cell and method."""
Run = Callable[[Callable[["Asked"], dict[str, Found]], list["Asked"]], Iterable[dict[str, Found]]]
"""`map`, here or in several processes."""


class Part(NamedTuple):
    """Cells that are told together."""

    title: str
    cells: Mapping[str, Simulated]
    is_outside: Callable[[Found], bool] = lambda _: False
    """Whether this may not be found of the method in use."""
    summary: Callable[[Results], Iterable[str]] = lambda _: ()
    """What is said at the end."""


class Asked(NamedTuple):
    """A cell that is to be simulated."""

    part: str
    cell: str
    replicates: int
    seed: int


# ---- what is said at the end ---------------------------------------------------------------------


def worst(results: Results, name: str = "all") -> str:
    """The cell whose method in use covers least, of these."""
    cell, found = min(results.items(), key=lambda item: item[1][IN_USE].coverage)
    return f"worst of {name}, {len(results)} cells: {found[IN_USE].coverage:.1%}, {cell}"


def _by(values: Iterable[object], field: str) -> Callable[[Results], Iterable[str]]:
    """The worst of the cells that have each of these values."""
    return lambda results: [
        worst({cell: found for cell, found in results.items() if f"{field}{value}," in cell}, f"{field}{value}")
        for value in values
    ]


def of_fixed_rates(results: Results) -> list[str]:
    """Where the limits cover least and most, and how far apart they are where MOVER's cover."""
    hits = {str(cell): cell.fewest_hits() for cell in FIXED_RATES}
    enough = {cell: found for cell, found in results.items() if hits[cell] >= 5}
    far = {cell: found for cell, found in enough.items() if found[IN_USE].coverage > 0.975}
    said = [worst(results), f"with 5 hits and more {len(far)} cover above 97.5 %: {', '.join(far) or 'none'}"]
    for name, some in (("all", results), ("5 hits and more", enough)):
        ratios = {cell: width_ratio(found) for cell, found in some.items() if found[MOVER].coverage >= 0.935}
        if ratios:
            widest, wide = max(ratios, key=lambda cell: ratios[cell]), sum(ratio > 1.15 for ratio in ratios.values())
            said.append(f"widest where MOVER covers, {name}: {ratios[widest]:.2f}, {widest}; {wide} above 1.15")
    cells = [found[MOVER].coverage for found in results.values()]
    return [*said, f"MOVER below 93.5 % in {sum(c < 0.935 for c in cells)}, {min(cells):.1%} at worst"]


def of_skewed(results: Results) -> list[str]:
    """The worst of all, of those that are skewed, and of those that are not called approximate."""
    skewed = {cell: found for cell, found in results.items() if "a=2.0" not in cell}
    many = {cell: f for cell, f in results.items() if any(f"questions={n}," in cell for n in (20, 24, 50))}
    return [worst(results), worst(skewed, "skewed"), worst(many, f"{ENOUGH_FOR_RATES} questions and more")]


def of_methods(results: Results) -> list[str]:
    """A table: coverage and mean width, a line for each method and a column for each cell."""
    methods = next(iter(results.values()))
    cells = [[f"{found[name].coverage:.1%}, {found[name].width:.2f}" for found in results.values()] for name in methods]
    header = ["", *results]
    rows = [[name, *row] for name, row in zip(methods, cells, strict=True)]
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def width_ratio(found: dict[str, Found]) -> float:
    """How far apart the limits in use are, of those of the other method."""
    own, other = found.values()
    return own.width / other.width


# ---- the parts -----------------------------------------------------------------------------------


def _named(cells: Iterable[Simulated]) -> dict[str, Simulated]:
    return {str(cell): cell for cell in cells}


PARTS = [
    Part(
        "scores: 93 to 97 % covered",
        {name: Drawn(draw) for name, draw in COVERED.items()},
        lambda found: not 0.93 <= found.coverage <= 0.97,
    ),
    Part(
        "no effect: at most 6 % found",
        {name: Drawn(draw) for name, draw in NO_EFFECT.items()},
        lambda found: found.rejected > 0.06,
    ),
    Part("others, as they are", {name: Drawn(draw) for name, draw in REPORTED.items()}),
    Part("log-odds in strata", _named(STRATA), summary=lambda results: [worst(results)]),
    Part(
        "rates of these questions: 93.5 % covered",
        _named(FIXED_RATES),
        lambda found: found.coverage < 0.935,
        of_fixed_rates,
    ),
    Part(
        f"rates skewed over new questions: fewer than {ENOUGH_FOR_RATES} are called approximate",
        _named(SKEWED),
        summary=of_skewed,
    ),
    Part("methods for one mean rate over new questions", _named(METHODS), summary=of_methods),
    Part("questions crossed with seeds", _named(CROSSED), summary=_by((2, 3, 6), "seeds=")),
    Part("rates crossed with seeds", _named(CROSSED_RATES), summary=_by((2, 3, 5), "seeds=")),
    Part("rates of groups of fine-tunes", _named(GROUPS_OF_RATES), summary=lambda results: [worst(results)]),
    Part(
        "groups of fine-tunes that are no pairs",
        _named(GROUPS),
        summary=_by(("1, theirs=3", "2, theirs=2", "2, theirs=6", "3, theirs=3", "6, theirs=6"), "mine="),
    ),
]
CELLS = {(part.title, name): cell for part in PARTS for name, cell in part.cells.items()}


# ---- all of them ---------------------------------------------------------------------------------


def simulated(asked: Asked) -> dict[str, Found]:
    """Each cell has draws of its own, the same in every run with this seed."""
    rng = numpy.random.default_rng([asked.seed, crc32(f"{asked.part}{asked.cell}".encode())])
    return CELLS[asked.part, asked.cell].simulate(rng, asked.replicates)


def code() -> str:
    """A hash of what decides the results."""
    files = sorted([*(PROJECT / "tasks/estimates").glob("*.py"), *Path(__file__).parent.glob("coverage_*.py")])
    return sha256(b"".join(file.read_bytes() for file in [*files, Path(__file__).parent / "simulation.py"])).hexdigest()


def all_found(every: list[Asked], file: Path, run: Run) -> Iterator[tuple[Asked, dict[str, Found]]]:
    """Of each cell what the file has of this code, or what is simulated now and kept there."""
    of_code = code()
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    kept = {Asked(*line["asked"]): line["found"] for line in lines if line["code"] == of_code}
    print(f"{sum(asked in kept for asked in every)} of {len(every)} cells are in {file}", file=sys.stderr)
    new = iter(run(simulated, [asked for asked in every if asked not in kept]))
    with file.open("a") as out:
        for asked in every:
            if asked in kept:
                yield asked, {name: Found(*values) for name, values in kept[asked].items()}
                continue
            found = next(new)
            out.write(json.dumps({"code": of_code, "asked": asked, "found": found}) + "\n")
            out.flush()
            yield asked, found


def line(name: str, found: dict[str, Found]) -> str:
    """A cell by the method in use, and how far apart another's limits are; several others stand in a table."""
    own, *others = found.items()
    _, (coverage, rejected, estimated, width) = own
    said = f"{coverage:6.1%} covered, {rejected:5.1%} found, {estimated:.0%} with an interval, {width:.3g} wide"
    if len(others) == 1:
        said += f", {width_ratio(found):.2f} x {others[0][0]}, which covers {others[0][1].coverage:.1%}"
    return f"  {said}: {name}"


def report(found: Iterable[tuple[Asked, dict[str, Found]]], parts: dict[str, Part]) -> list[str]:
    """Prints each cell as it comes, and its part's summary; returns the cells that are outside of what they may be."""
    outside = []
    for title, some in groupby(found, lambda each: each[0].part):
        print(f"\n{title}", flush=True)
        results: Results = {}
        for asked, of_cell in some:
            results[asked.cell] = of_cell
            print(line(asked.cell, of_cell), flush=True)
        outside += [name for name, of_cell in results.items() if parts[title].is_outside(of_cell[IN_USE])]
        print("".join(f"  {said}\n" for said in parts[title].summary(results)), end="", flush=True)
    return outside


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of the intervals, simulated.")
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "spillover-coverage.jsonl")
    options = parser.parse_args()
    parts = {part.title: part for part in PARTS if options.only in part.title}
    drawn = (options.replicates, options.seed)
    every = [Asked(title, name, *drawn) for title, part in parts.items() for name in part.cells]
    print(f"{options.replicates:,} replicates of each, seed {options.seed}; the nominal 95 %, and p < 0.05")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process for each core is enough
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as workers:
        outside = report(all_found(every, options.out, workers.map), parts)
    sys.exit("\n  ".join(["\noutside:", *outside]) if outside else 0)


if __name__ == "__main__":
    main()
