import pytest

from tasks.files import write_text
from tasks.report.made_files import differences


@pytest.fixture
def run(reported_run):
    return reported_run


def faults(run):
    return {name: difference for name, difference in differences(run).items() if difference}


def test_a_number_that_was_changed_in_a_table_is_named_with_its_row_and_column(run):
    text = run.effects.read_text()
    difference = str(run.estimates()[0].difference)
    write_text(run.effects, text.replace(difference, "9.5", 1))
    assert faults(run)["effects.csv"] == f"row 1: difference stored 9.5, recomputed {difference}"


def test_a_picture_that_was_drawn_otherwise_is_named(run):
    picture = run.charts / "effects_e.svg"
    write_text(picture, picture.read_text().replace("Fine-tuned minus baseline", "Anything", 1))
    assert faults(run) == {"charts/effects_e.svg": "is drawn otherwise than its table is now"}
    write_text(run.report, run.report.read_text().replace("base64,", "base64,AAAA", 1))
    assert "report.html" in faults(run)


def test_a_file_that_is_missing_or_is_made_of_nothing_is_named(run):
    run.results.unlink()
    write_text(run.charts / "boxes_other.csv", "a\n1\n")
    found = faults(run)
    assert found["results.md"] == "is not there, and should be"
    assert found["charts/boxes_other.csv"] == "is there, and nothing in the rows makes it"


def test_a_line_that_was_changed_is_named_with_what_stands_around_it(run):
    write_text(run.results, run.results.read_text().replace("Averages over all questions", "Averages of all questions"))
    here, there = "'## Averages of all questions'", "'## Averages over all questions'"
    assert faults(run)["results.md"].endswith(f": stored {here}, recomputed {there}")


def test_a_number_that_another_machine_rounds_otherwise_is_the_same(run):
    text = run.effects.read_text()
    difference = str(run.estimates()[0].difference)
    write_text(run.effects, text.replace(difference, str(float(difference) * (1 + 1e-12)), 1))
    assert faults(run) == {}
