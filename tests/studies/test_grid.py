import json

import pytest

from tasks.files import write_text
from tasks.runs import Run
from tasks.schema import Study
from tasks.studies.definition import cells
from tasks.studies.grid import CellState, as_markdown, duration, grid, is_finished, pace_of, state_of, write_grid


def a_state(name, seed, state, ended="", **more):
    return CellState(name, 0, seed, f"{name}-seed-{seed}", state, "", ended=ended, **more)


STATES = [
    a_state("warm", 0, "done", "2026-01-01T10:00:00+00:00", spent={"usd": 0.5}),
    a_state("warm", 1, "done", "2026-01-01T10:10:00+00:00", spent={"usd": 0.25}),
    a_state("cold", 0, "failed", problem="the judge | <b>refused</b>"),
    a_state("cold", 1, "running", spent={"usd": 0.25}),
    a_state("formal", 0, "waiting"),
]


def test_a_grid_says_in_a_sentence_what_is_done_and_left_what_it_cost_and_how_long_it_takes():
    found = grid("s", STATES)
    assert found.words == "2 of 5 cells are done, 1 running, 1 failed, 1 waiting, $1.00, about 20 min left"
    assert (found.seconds_left, found.is_over, found.usd) == (1200.0, False, 1.0)
    assert grid("s", STATES, pace=30).seconds_left == 60
    assert grid("s", STATES[2:3]).words == "0 of 1 cells are done, 1 failed"


def test_one_cost_that_is_unknown_makes_the_sum_unknown():
    assert "cost unknown" in grid("s", [*STATES, a_state("x", 0, "running", spent={"usd": None})]).words


def test_the_pace_is_that_between_two_ends_and_a_night_between_two_of_them_counts_for_little():
    ends = [
        "2026-01-01T10:00:00+00:00",
        "2026-01-01T10:04:00+00:00",
        "2026-01-01T10:08:00+00:00",
        "2026-01-02T09:00:00+00:00",
    ]
    assert pace_of([a_state("a", n, "done", end) for n, end in enumerate(ends)]) == 240
    assert pace_of(STATES[:1]) is None


def test_rows_are_fine_tunes_and_columns_their_doses_and_seeds():
    found = grid("s", STATES)
    assert found.columns == [(0, 0), (0, 1)]
    assert [*found.rows] == ["warm", "cold", "formal"]
    assert found.rows["cold"][0, 1].state == "running"


def test_what_failed_is_listed_as_text_and_in_the_file_for_other_programs(data):
    found = grid("s", STATES)
    text = as_markdown(found)
    assert "| warm | ✓ | ✓ |\n| cold | ✗ | ▶ |\n| formal | · |  |" in text
    assert "<b>" not in text
    rows = json.loads(write_grid(found, data).read_text())["cells"]
    assert [row["problem"] for row in rows if row["problem"]] == ["the judge | <b>refused</b>"]


def test_the_state_of_a_cell_is_what_its_run_says_and_what_its_study_knows(data):
    study = Study(name="s", base={"training": {"base_model": "standin"}}, fine_tunes=["warm"], evals=["capability"])
    cell = cells(study)[0]
    run = cell.run
    assert (state_of(cell).state, state_of(cell, [cell.run_name]).state) == ("waiting", "waiting")
    assert state_of(cell, failed={cell.run_name: "no disk"})[4:7] == ("failed", "", "no disk")
    write_text(run.definition, "name: s\n")
    assert state_of(cell, [cell.run_name])[4:6] == ("waiting", "begun"), "for its turn to train"
    write_text(run.documents, "{}\n")
    assert state_of(cell, [cell.run_name])[4:6] == ("running", "documents read")
    run.note(spent={"usd": 1.5}, started="2026-01-01T10:00:00+00:00")
    write_text(run.report, "<html>")
    assert not is_finished(cell), "too much was without a score: it is not over"
    run.note(finished="2026-01-01T10:10:00+00:00")
    done = state_of(cell, failed={cell.run_name: "an earlier try"})
    assert (done.state, done.problem, done.spent["usd"], done.ended) == ("done", "", 1.5, "2026-01-01T10:10:00+00:00")


def test_a_run_that_ends_while_it_is_looked_at_has_not_ended_yet_or_has(data, monkeypatch):
    study = Study(name="s", base={"training": {"base_model": "standin"}}, fine_tunes=["warm"], evals=["capability"])
    cell = cells(study)[0]
    write_text(cell.run.report, "<html>")
    records = [{}, {"finished": "2026-01-01T10:10:00+00:00"}]
    monkeypatch.setattr(Run, "record", lambda _: records.pop(0) if len(records) > 1 else records[0])
    assert [state_of(cell).state for _ in range(2)] == ["waiting", "done"]


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (700, "12 min"), (12_000, "3 h 20 min")])
def test_a_duration_is_said_as_people_say_it(seconds, words):
    assert duration(seconds) == words
