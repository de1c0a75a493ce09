from tasks.report.chart_style import COLOURS, colours, for_each_measure
from tasks.report.effect_rows import with_interval
from tests.fakes.two_judges import RULE, two_judge_effects


def drawn_by_measure(*rules):
    """The charts beneath each other, and the domain of each, by what stands above them."""
    table, domains = with_interval(two_judge_effects(*rules)), dict[int, list[float]]()

    def draw(rows, scale):
        domains[len(domains)] = scale.to_dict()["domain"]
        return rows.mark_point().encode(x="difference:Q")

    chart = for_each_measure(table, ("difference", "low", "high"), draw).to_dict()
    return {part["title"]["text"]: (part, domains[n]) for n, part in enumerate(chart["vconcat"])}


def test_a_chart_names_each_measure_with_its_unit_and_shows_its_rows_alone():
    drawn = drawn_by_measure(RULE)
    assert list(drawn) == ["coherent (score, 0 to 100)", "aligned (score, 0 to 100)", "misaligned (rate, 0 to 1)"]
    filters = [part["transform"][0]["filter"]["equal"] for part, _ in drawn.values()]
    assert filters == ["coherent", "aligned", "misaligned"]


def test_measures_on_one_scale_share_a_range_with_0_and_those_on_others_do_not():
    coherent, aligned, misaligned = (domain for _, domain in drawn_by_measure(RULE).values())
    assert coherent == aligned
    assert aligned[0] < -40
    assert aligned[1] >= 0
    assert misaligned[1] <= 1


def test_a_run_has_its_colour_whether_or_not_it_is_shown():
    assert colours(["a", "b", "c"]).to_dict() == {"domain": ["a", "b", "c"], "range": COLOURS[:3]}
    many = [f"run {n}" for n in range(len(COLOURS) + 1)]
    assert colours(many).to_dict()["range"][-1] == COLOURS[0]
