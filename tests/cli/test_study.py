from flows.cli.study import drawn, live_grid
from flows.console import console
from flows.study import watcher
from tasks.studies.grid import CellState, grid


def a_grid(*states):
    return grid("s", [CellState("warm", 0, n, f"warm-{n}", state, "") for n, state in enumerate(states)])


def test_the_grid_has_a_row_for_each_fine_tune_and_a_mark_for_each_cell():
    with console.capture() as captured:
        console.print(drawn(a_grid("done", "failed", "waiting")))
    words, titles, marks = captured.get().splitlines()
    assert words == "1 of 3 cells are done, 1 failed, 1 waiting"
    assert titles.split() == ["seed", "0", "seed", "1", "seed", "2"]
    assert marks.split() == ["warm", "✓", "✗", "·"]


def test_where_there_is_no_terminal_a_line_is_said_when_a_cell_ends(capsys):
    with live_grid():
        watch = watcher.get()
        assert watch
        for found in (a_grid("running", "waiting"), a_grid("running", "waiting"), a_grid("done", "running")):
            watch(found)
    assert capsys.readouterr().out.splitlines() == [
        "0 of 2 cells are done, 1 running, 1 waiting",
        "1 of 2 cells are done, 1 running",
    ]
    assert watcher.get() is None
