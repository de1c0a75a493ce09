import time
import webbrowser

import pytest

from flows.cli import view
from tasks.definitions import load_experiment
from tasks.files import write_text
from tasks.runs import Run
from tests.fakes.nouns import LEXICON, an_eval


@pytest.fixture
def run(data):
    experiment = load_experiment("standin", ["sampling.n_samples=2"]).model_copy(update={"evals": ["e"]})
    run = Run.open(experiment, [an_eval(LEXICON)], "one")
    run.note(seed=0)
    return run


def test_the_page_moves_on_to_the_report_when_the_run_is_finished(run, tmp_path, monkeypatch, capsys):
    steps = iter([lambda: run.note(spent={"usd": 0.0}), lambda: write_text(run.report, "<p>done</p>")])
    monkeypatch.setattr(time, "sleep", lambda seconds: next(steps, lambda: None)())
    view.show(run, browser=False)
    said = capsys.readouterr().out
    assert "The run is not finished (begun)" in said
    assert f"Report  {run.report}" in said


def test_a_finished_run_is_opened_and_where_no_browser_is_its_address_is_said(run, monkeypatch, capsys):
    write_text(run.report, "<p>done</p>")
    opened: list[str] = []

    def refuse(address: str) -> bool:
        opened.append(address)
        return False

    monkeypatch.setattr(webbrowser, "open", refuse)
    view.show(run)
    assert opened == [run.report.as_uri()]
    assert "No browser could be started here; open that address in one." in capsys.readouterr().out.replace("\n", " ")
