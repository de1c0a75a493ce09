from tasks.report.chart_style import row_for_each_measure
from tests.fakes.two_judges import RULE, two_judge_effects


def test_a_chart_names_each_measure_with_its_unit():
    label = str(row_for_each_measure(two_judge_effects(RULE)).to_dict()["header"]["labelExpr"])
    assert '"aligned": "aligned (score, 0 to 100)"' in label
    assert '"misaligned": "misaligned (rate, 0 to 1)"' in label
