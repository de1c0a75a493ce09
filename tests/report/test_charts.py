import pytest

from tasks.estimates.effects import write_effects
from tasks.files import write_rows
from tasks.report.charts import OF_COMPARISON, OF_EVAL, OF_RUN, draw
from tasks.runs import CHARTS, Run
from tasks.schema import DocumentSet, Experiment
from tests.fakes.two_judges import RULE, two_judge_eval, two_judge_judgments


@pytest.fixture
def run(data):
    experiment = Experiment(name="x", documents=[DocumentSet(name="a")], evals=["e"])
    run = Run.open(experiment, [two_judge_eval(RULE)], "r")
    write_rows(run.judged, two_judge_judgments())
    write_effects(run)
    draw(run)
    return run


def test_a_run_of_several_measures_leaves_every_chart_with_its_table(run):
    names = {"boxes_e", "effects_e", "judges_e", "levels_e", "matrix", "overview", "questions_e", "scores_e"}
    assert {file.stem for file in run.charts.iterdir()} == names
    for name in names:
        kinds = {file.suffix for file in run.charts.glob(f"{name}.*")}
        assert kinds == {".csv", ".html", ".svg", ".png", ".pdf"}


def test_every_chart_that_was_drawn_is_found_by_its_name_in_the_table(run):
    known = {chart.svg(run.charts, "e") for chart in OF_EVAL} | {chart.svg(run.charts) for chart in OF_RUN}
    assert set(run.charts.glob("*.svg")) <= known


def test_a_chart_has_a_name_of_its_own_and_a_caption():
    of_run = [(chart.name, chart.caption) for chart in OF_EVAL] + [(chart.name, chart.caption) for chart in OF_RUN]
    of_comparison = [(chart.name, chart.caption) for chart in OF_COMPARISON]
    for charts in (of_run, of_comparison):
        assert len(dict(charts)) == len(charts)
        assert all(caption and not caption.endswith(".") for _, caption in charts)


def test_new_judgments_take_away_every_chart_of_the_earlier_ones(run):
    run.remove_what_judgments_made()
    assert not run.charts.exists()


def test_a_users_own_files_among_the_charts_stay(run):
    for name in ("notes.txt", "effects.docx", "mine.svg"):
        (run.charts / name).touch()
    run.remove_what_judgments_made()
    assert {file.name for file in run.charts.iterdir()} == {"notes.txt", "effects.docx", "mine.svg"}


def test_a_run_knows_the_charts_by_their_names():
    assert set(CHARTS) == {chart.name for chart in OF_EVAL} | {chart.name for chart in OF_RUN}
