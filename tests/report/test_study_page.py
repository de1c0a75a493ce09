import re

import polars
import pytest

from tasks.report.study_charts import shift_map, shift_table, unit_of
from tasks.report.study_page import Report, StudyResults, render, write_study
from tasks.runs import Comparison
from tasks.schema import Aggregate, Scale
from tasks.studies.aggregates import matrix_of_aggregates
from tasks.studies.sentences import broken, sentences, sure

MEANS = {"base": (50, 30, 0.9), "formal <i>": (70, 31, 0.88), "stuck": (20, 36, 0.3)}


def results(sd=10.0, reports=None):
    rows = []
    for model, (formality, humour, capability) in MEANS.items():
        rows.append(Aggregate(model=model, measure="formality", mean=formality, n=200, sd=sd))
        rows.append(Aggregate(model=model, measure="humour", mean=humour, n=200, sd=sd))
        rows.append(Aggregate(model=model, measure="capability", mean=capability, n=200, is_rate=True))
    found = matrix_of_aggregates(rows, {"formal <i>": {"formality": "more"}}, {})
    shifts, places = found.shifts, {name: f"judge={name}" for name in ("formality", "humour", "capability")}
    said = sentences(found)
    return StudyResults(shifts, [], said, ["Three left out."], broken(shifts), sure(shifts), reports or {}, places)


def test_a_field_leads_to_its_texts_in_the_report_of_its_fine_tune(data):
    reports = {
        "formal <i>": [
            Report("seed 0", "../../results/x/a/report.html"),
            Report("seed 1", "../../results/x/b/report.html"),
        ],
        "stuck": [Report("report", "../../results/x/c/report.html")],
    }
    page = render(Comparison("x"), results(reports=reports))
    in_map = re.findall(r'<a href="([^"]*)"><path', page)
    assert "../../results/x/a/report.html#judge=humour" in in_map
    assert "../../results/x/c/report.html#judge=capability" in in_map
    assert len(set(in_map)) == 6
    assert '<a href="../../results/x/b/report.html#judge=humour">seed 1</a>' in page
    assert "field.invalid" not in page


def test_an_interval_of_a_single_seed_says_that_other_seeds_have_no_part_in_it(data):
    reports = {label: [Report("report", "a.html")] for label in ("formal <i>", "stuck")}
    found = results(reports=reports)
    limits = {"ci_low_new_questions": 1.0, "ci_high_new_questions": 9.0}
    shifts = [s.model_copy(update=limits | {"runs": 1 + (s.label == "stuck")}) for s in found.shifts]
    page = render(Comparison("x"), found._replace(shifts=shifts))
    of_stuck = page.split('id="fine-tune:stuck"')[1].split("</details>")[0]
    assert "other seeds have no part" in page
    assert "other seeds have no part" not in of_stuck


def test_without_reports_no_field_is_a_link(data):
    page = render(Comparison("x"), results())
    assert "field.invalid" not in page
    assert "A click on a field" not in page


def test_what_others_wrote_is_text_and_the_page_runs_no_script(data):
    page = render(Comparison("x"), results())
    assert "<i>" not in page
    assert "formal &lt;i&gt;" in page
    assert "<script" not in page
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_the_page_says_the_verdict_what_is_left_out_and_which_model_broke(data):
    page = render(Comparison("x"), results())
    assert "Capability fell under stuck" in page
    assert "<h3>stuck †</h3>" in page
    assert "Three left out." in page
    assert page.count("<small>trained</small>") == 1


def test_the_colours_have_one_scale_for_both_signs_and_what_was_trained_is_framed(data):
    found = results()
    spec = shift_map(found.shifts, found.broken, found.sure).to_dict()
    colour = next(layer["encoding"]["color"] for layer in spec["layer"] if "color" in layer["encoding"])
    low, middle, high = colour["scale"]["domain"]
    assert (low, middle) == (-high, 0)
    assert colour["scale"]["clamp"]
    assert "datum.direction != 0" in str(spec["layer"][-1]["transform"])
    rows = next(iter(spec["datasets"].values()))
    assert {row["row"] for row in rows} == {"formal <i>", "stuck †"}
    assert {row["words"] for row in rows if row["column"] == "formality"} == {"+2.0", "-3.0"}


@pytest.mark.parametrize(("scale", "field"), [(Scale(low=0, high=100), "share"), (None, "difference")])
def test_without_the_spread_of_the_base_the_range_or_the_unit_itself_is_drawn(scale, field):
    rows = [Aggregate(model=model, measure="a", mean=mean) for model, mean in (("base", 20), ("ft", 45))]
    shifts = matrix_of_aggregates(rows, {}, {"a": scale} if scale else {}).shifts
    assert unit_of(shifts).field == field
    spec = shift_map(shifts, set(), set()).to_dict()
    (row,) = next(iter(spec["datasets"].values()))
    assert row["size"] == (0.25 if scale else 25)


def test_csv_and_parquet_are_the_matrix_with_all_its_columns_and_the_map_is_printed(data):
    place, found = Comparison("x"), results()
    assert write_study(place, found) == place.page
    table = polars.read_parquet(place.folder / "matrix.parquet")
    assert table.equals(shift_table(found.shifts))
    assert table.columns[:5] == ["label", "column", "trait", "direction", "difference"]
    assert len(polars.read_csv(place.folder / "matrix.csv")) == len(found.shifts) == 6
    for ending, begins in {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<svg"}.items():
        assert (place.folder / f"matrix.{ending}").read_bytes().startswith(begins)
    assert "<a " not in (place.folder / "matrix.svg").read_text()
