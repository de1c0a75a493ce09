import numpy
import pytest

from tasks.estimates.fixed_questions import fixed_questions
from tasks.estimates.intervals import Cell, Interval, rate_cell
from tasks.estimates.new_questions import (
    Rates,
    new_questions_and_groups,
    new_questions_and_seeds,
    new_questions_of_rates,
)
from tests.benchmarks import coverage
from tests.benchmarks.coverage_arrays import (
    crossed,
    crossed_rates,
    groups,
    groups_of_rates,
    rates_of_new_questions,
    rates_of_these_questions,
)
from tests.benchmarks.coverage_draws import COVERED, NO_EFFECT, Drawn, for_paired_rates
from tests.benchmarks.coverage_grids import (
    ALL_KNOWN,
    CROSSED,
    METHODS,
    MOVER,
    STUDENT,
    Crossed,
    CrossedRates,
    FixedRates,
    Groups,
    GroupsOfRates,
    OneMeanRate,
    Skewed,
)
from tests.benchmarks.simulation import IN_USE, Found, Limits, Simulated, simulate, terms

REPLICATES = 500
"""Fewer than in the benchmark, whose limits are 93 to 97 %, and 6 %: these allow for chance besides."""
MANY = 4_000
"""Of what is drawn at once."""
COMPARED = 25
"""Replicates of which each interval is estimated by itself too."""


def found(cell: Simulated, replicates: int = MANY) -> dict[str, Found]:
    return cell.simulate(numpy.random.default_rng(1), replicates)


# ---- what is simulated at once is what is in use -------------------------------------------------


def assert_same(limits: Limits, each: list[Interval]) -> None:
    for low, high, interval in zip(*limits, each, strict=True):
        assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-9, rel=0)
        assert interval.p is not None
        assert (interval.p < 0.05) == (low > 0 or high < 0)


def rate_cells(hits: numpy.ndarray, n: int) -> list[Cell]:
    return [rate_cell(int(count), n, 0, n) for count in hits]


def as_rates(hits: numpy.ndarray, n: int) -> Rates:
    cells = rate_cells(hits, n)
    return Rates(cells, [cell.mean for cell in cells])


@pytest.mark.parametrize(
    "cell",
    [
        FixedRates(1, 2, 0.5, 0.15, alike=True),
        FixedRates(4, 2, 0.01, 0.0, alike=False),
        FixedRates(8, 5, 0.2, 0.15, alike=False),
        FixedRates(24, 50, 0.05, 0.15, alike=True),
    ],
    ids=str,
)
def test_rates_of_these_questions_that_are_drawn_at_once_have_the_interval_of_each(cell):
    before, after = cell.draw(numpy.random.default_rng(2), COMPARED)
    sides = [(rate_cells(b, cell.n), rate_cells(a, cell.n)) for b, a in zip(before, after, strict=True)]
    each = [fixed_questions(terms(list(zip(b, a, strict=True))), is_rate=True) for b, a in sides]
    assert_same(rates_of_these_questions(before, after, cell.n), each)


@pytest.mark.parametrize(
    "cell", [Skewed(0.3, 1.2, 0.0, 5, 50), Skewed(0.1, 0.9, 0.02, 24, 50), Skewed(2.0, 2.0, 0.02, 8, 10)], ids=str
)
@pytest.mark.parametrize("is_difference", [True, False])
def test_rates_of_new_questions_that_are_drawn_at_once_have_the_interval_of_each(cell, is_difference):
    before, after = cell.draw(numpy.random.default_rng(2), COMPARED)
    pairs = [(as_rates(a, cell.n), as_rates(b, cell.n)) for b, a in zip(before, after, strict=True)]
    each = [new_questions_of_rates(a, b if is_difference else None) for a, b in pairs]
    assert_same(rates_of_new_questions(after, before if is_difference else None, cell.n), each)


def test_where_all_questions_have_one_rate_neither_has_an_interval():
    hits = numpy.full((1, 8), 3)
    assert new_questions_of_rates(as_rates(hits[0], 10)).low is None
    assert numpy.isnan(rates_of_new_questions(hits, None, 10)).all()


@pytest.mark.parametrize("cell", [Crossed(8, 2, 0.4, 0.3, 0.05), Crossed(24, 6, 0.4, 1.0, 0.3)], ids=str)
def test_crossed_values_that_are_drawn_at_once_have_the_interval_of_each(cell):
    values = cell.draw(numpy.random.default_rng(2), COMPARED)
    assert_same(crossed(values), [new_questions_and_seeds(each.tolist()) for each in values])


@pytest.mark.parametrize("cell", [Groups(8, 1, 3, 0.4, 0.3, 0.05), Groups(24, 6, 2, 0.4, 1.0, 0.3)], ids=str)
def test_groups_that_are_drawn_at_once_have_the_interval_of_each(cell):
    mine, theirs = cell.draw(numpy.random.default_rng(2), COMPARED)
    each = [new_questions_and_groups(m.tolist(), t.tolist()) for m, t in zip(mine, theirs, strict=True)]
    assert_same(groups(mine, theirs), each)


def of_fine_tunes(hits: numpy.ndarray, n: int) -> tuple[list[list[float]], Rates]:
    """Each fine-tune's rates, from its hits (fine-tunes, questions), and those of all together."""
    rows = [as_rates(row, n) for row in hits]
    values = [row.values for row in rows]
    return values, Rates.of_runs([row.cells for row in rows], values)


@pytest.mark.parametrize("cell", [CrossedRates(0.1, 0.9, 8, 3, 1.0), CrossedRates(2, 2, 24, 2, 0.0)], ids=str)
def test_rates_of_several_seeds_that_are_drawn_at_once_have_the_interval_of_each(cell):
    before, after = cell.draw(numpy.random.default_rng(2), COMPARED)
    before[:, ::2] = 1
    each = []
    for b, a in zip(before, after, strict=True):
        (values, rates), own = of_fine_tunes(a, cell.n), as_rates(b, cell.n)
        rows = [[one - other for one, other in zip(row, own.values, strict=True)] for row in values]
        each.append(new_questions_and_seeds(rows, [rates, own]))
    assert_same(crossed_rates(after, before, cell.n), each)


def test_rates_of_groups_that_are_drawn_at_once_have_the_interval_of_each():
    cell = GroupsOfRates(0.1, 0.9, 8, 2, 3, 1.0)
    mine, theirs = cell.draw(numpy.random.default_rng(2), COMPARED)
    theirs[:, 1:, ::2] = 1
    each = []
    for one, other in zip(mine, theirs, strict=True):
        (values, rates), (their_values, their_rates) = of_fine_tunes(one, cell.n), of_fine_tunes(other, cell.n)
        each.append(new_questions_and_groups(values, their_values, rates=[rates, their_rates]))
    assert_same(groups_of_rates(mine, theirs, cell.n), each)


# ---- coverage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COVERED)
def test_an_interval_holds_the_truth_as_often_as_it_says(name):
    assert 0.925 <= found(Drawn(COVERED[name]), REPLICATES)[IN_USE].coverage <= 0.975


@pytest.mark.parametrize("name", NO_EFFECT)
def test_where_there_is_no_effect_one_is_rarely_found(name):
    assert found(Drawn(NO_EFFECT[name]), 2 * REPLICATES)[IN_USE].rejected <= 0.065


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("questions", [1, 8, 24])
def test_rates_of_half_are_covered_with_few_answers_a_question_too(questions, n):
    own = found(FixedRates(questions, n, before=0.5, rise=0.0, alike=True))[IN_USE]
    assert own.coverage >= 0.93
    assert own.rejected <= 0.07


def test_rare_rates_over_many_questions_have_a_far_narrower_interval_than_by_the_limits_of_each_question():
    own, mover = found(FixedRates(questions=24, n=10, before=0.05, rise=0.0, alike=True)).values()
    assert 0.935 <= own.coverage <= 0.975 < mover.coverage
    assert own.width < 0.7 * mover.width


@pytest.mark.parametrize(
    "cell", [Skewed(0.3, 1.2, 0.0, 8, 50), Skewed(0.1, 0.9, 0.02, 5, 50), Skewed(0.1, 0.9, 0.0, 24, 50)]
)
def test_rates_near_0_for_most_questions_and_high_for_some_are_covered(cell):
    assert found(cell)[IN_USE].coverage >= 0.93


@pytest.mark.parametrize(
    "cell",
    [
        CrossedRates(0.1, 0.9, 5, 3, 0.0),
        CrossedRates(0.1, 0.9, 8, 3, 1.0),
        CrossedRates(0.1, 0.9, 24, 3, 0.0),
        GroupsOfRates(0.1, 0.9, 8, 6, 6, 0.0),
    ],
    ids=str,
)
def test_rates_near_0_for_most_questions_are_covered_over_several_fine_tunes_too(cell):
    methods = found(cell, 1_000)
    assert methods[IN_USE].coverage >= 0.93
    assert methods[STUDENT].coverage < 0.92


def test_of_the_methods_for_rates_near_0_that_in_use_is_the_narrowest_of_those_that_cover():
    """But for the likelihood with other quantiles, which cover more, or too little with few questions."""
    methods = found(OneMeanRate(0.1, 0.9, 8), REPLICATES)
    covering = {name: each for name, each in methods.items() if each.coverage >= 0.935 and "alone" not in name}
    assert min(covering, key=lambda name: covering[name].width) == IN_USE
    assert methods["Student's t"].coverage < 0.85


def test_rates_that_are_paired_by_question_have_an_interval_hardly_wider_than_students():
    own = simulate(for_paired_rates(8, 10, 1.0), REPLICATES, numpy.random.default_rng(1))
    assert 0.91 <= own.coverage <= 0.98
    assert own.width < 0.37


@pytest.mark.parametrize("seeds", [2, 3])
def test_two_or_three_seeds_that_hardly_differ_cost_little(seeds):
    own, known = found(Crossed(questions=24, seeds=seeds, of_questions=0.4, of_seeds=0.0, of_both=0.05)).values()
    assert own.coverage >= 0.93
    assert own.width < 1.2 * known.width


@pytest.mark.parametrize("seeds", [2, 3])
def test_seeds_that_differ_much_are_covered(seeds):
    cell = Crossed(questions=24, seeds=seeds, of_questions=0.4, of_seeds=1.0, of_both=0.05)
    assert found(cell)[IN_USE].coverage >= 0.93


@pytest.mark.parametrize("cell", [Groups(8, 1, 3, 0.4, 0.3, 0.05), Groups(8, 3, 3, 0.4, 0.3, 0.05)])
def test_groups_of_fine_tunes_that_differ_much_are_covered(cell):
    own, known = found(cell)[IN_USE], found(cell)[ALL_KNOWN]
    assert own.coverage >= 0.935
    assert known.coverage == pytest.approx(0.95, abs=0.015)


# ---- the command ---------------------------------------------------------------------------------


def test_an_interrupted_benchmark_goes_on_where_it_was(tmp_path, monkeypatch):
    file, cells = tmp_path / "kept.jsonl", list(map(str, CROSSED))
    every = [coverage.Asked("questions crossed with seeds", name, 50, 1) for name in cells[:3]]
    first = list(coverage.all_found(every[:2], file, map))
    assert len(file.read_text().splitlines()) == 2
    whole = list(coverage.all_found(every, file, map))
    assert whole[:2] == first
    assert len(file.read_text().splitlines()) == 3
    monkeypatch.setattr(coverage, "code", lambda: "other code")
    assert list(coverage.all_found(every[:1], file, map)) == first[:1], "the same draws"
    assert len(file.read_text().splitlines()) == 4, "of other code nothing is taken"


def test_a_table_of_methods_has_a_line_for_each():
    results = {str(cell): found(cell, 50) for cell in METHODS[:2]}
    header, _, own, *others = coverage.of_methods(results)
    assert header == "|  | Beta(0.3, 1.2), 5 questions | Beta(0.3, 1.2), 8 questions |"
    assert own.startswith(f"| {IN_USE} | ")
    assert len(others) == 8


def test_what_is_said_of_the_grid_of_rates_names_its_worst_cells():
    cells = [FixedRates(1, 50, 0.5, 0.0, alike=True), FixedRates(8, 2, 0.2, 0.0, alike=True)]
    results = {
        str(cell): {IN_USE: Found(covered, 0.05, 1.0, 0.3), MOVER: Found(0.94, 0.05, 1.0, 0.25)}
        for cell, covered in zip(cells, (0.94, 0.98), strict=True)
    }
    said = "\n".join(coverage.of_fixed_rates(results))
    assert f"worst of all, 2 cells: 94.0%, {cells[0]}" in said
    assert "with 5 hits and more 0 cover above 97.5 %: none" in said
    assert "1.20, " in said
    assert "2 above 1.15" in said
    assert "MOVER below 93.5 % in 0, 94.0% at worst" in said
