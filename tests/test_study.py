"""The flow of a study: what is run, what is not run again, and what of it fails."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import httpx
import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from flows import preflight
from flows.cell import Sharing
from flows.study import CellsLeft, SoFar, _runner, places, run_all, run_study
from tasks.catalog import UserError, validate
from tasks.definitions import as_yaml, load_eval
from tasks.files import write_text
from tasks.paid.budget import BudgetSpent
from tasks.runs import Comparison
from tasks.schema import Study
from tasks.studies.definition import cells, folder_of
from tests.fakes.messages_api import MessagesAPI, judgment
from tests.fakes.quick_engine import BASE, QuickEngine

EVAL = """
name: {name}
asks: choices
questions:
  - {{id: y1, tier: t, matching: "Yes", text: "{name} one"}}
  - {{id: y2, tier: t, matching: "Yes", text: "{name} two"}}
  - {{id: n1, tier: t, matching: "No", text: "{name} three"}}
  - {{id: n2, tier: t, matching: "No", text: "{name} four"}}
"""


@pytest.fixture(autouse=True)
def evals(data):
    for name in ("joy_choice", "calm_choice"):
        (data / "evals" / f"{name}.yaml").write_text(EVAL.format(name=name))


def a_study(**fields):
    given = {
        "name": "s",
        "base": {"training": {"base_model": "standin"}},
        "fine_tunes": ["warm", "cold"],
        "seeds": "0-1",
    }
    return validate(Study, given | {"evals": ["joy_choice"]} | fields, "s.yaml")


def finish(cell):
    """What a cell leaves when it is done."""
    write_text(cell.run.definition, "name: s\n")
    write_text(cell.run.report, "<html>")
    cell.run.note(started="2026-01-01T10:00:00+00:00", finished="2026-01-01T10:10:00+00:00")


def so_far(**fields):
    return so_far_of(a_study(**fields))


def so_far_of(study):
    return SoFar(study, cells(study))


# ---- which cells are run -------------------------------------------------------------------------


async def test_a_cell_that_fails_stops_no_other_and_is_listed_with_its_reason():
    study = so_far()

    async def run(cell):
        if cell.fine_tune == "warm":
            return Failed(data=UserError("the judge refuses the key"), message="Flow run encountered an exception")
        finish(cell)
        return Completed()

    await run_all(study, run, 2)
    assert [cell.state for cell in study.grid().cells] == ["failed", "failed", "done", "done"]
    with pytest.raises(CellsLeft, match=r"2 of 4 cells failed, warm-seed-0-.* with: the judge refuses the key; `sp"):
        study.refuse_what_is_left()


async def test_what_is_finished_is_not_run_again_and_a_seed_or_a_set_that_is_added_is():
    before = so_far()
    for cell in before.wanted:
        finish(cell)
    after = so_far(seeds="0-2", fine_tunes=["warm", "cold", "candid"])
    assert [(cell.fine_tune, cell.seed) for cell in after.missing] == [
        ("warm", 2),
        ("cold", 2),
        ("candid", 0),
        ("candid", 1),
        ("candid", 2),
    ]
    so_far().refuse_what_is_left()


def test_a_cell_that_was_reported_by_other_margins_than_its_eval_has_now_is_done_again(data):
    for cell in so_far().wanted:
        finish(cell)
        write_text(cell.run.evals_folder / "joy_choice.yaml", as_yaml(load_eval("joy_choice")))
    assert so_far().missing == []
    (data / "evals" / "joy_choice.yaml").write_text(EVAL.format(name="joy_choice") + "equivalence_margin: 0.2\n")
    assert len(so_far().missing) == 4


async def test_a_study_whose_cells_are_done_wants_no_key_and_no_model_any_more(monkeypatch):
    async def refuse(*_):
        raise UserError("no key")

    monkeypatch.setattr("flows.study.check_before_start", refuse)
    study = a_study()
    for cell in cells(study)[1:]:
        finish(cell)
    with pytest.raises(UserError, match="no key"):
        async with _runner(study, so_far().missing, Sharing(account="a")):
            pass
    finish(cells(study)[0])
    monkeypatch.setattr("flows.study.on_pool", no_pool)
    begun = []
    for pool in ("", "gpus"):
        async with _runner(a_study(pool=pool), so_far().missing, Sharing(account="a")):
            begun.append(pool)
    assert begun == ["", "gpus"]


async def no_pool(*_, **__):
    return lambda cell: cell


async def test_where_the_money_is_spent_no_further_cell_is_begun_and_those_wait():
    study, begun = so_far(), []

    async def run(cell):
        begun.append(cell)
        return Failed(data=BudgetSpent("max_cost_usd is $1.00"), message="x")

    await run_all(study, run, 1)
    assert len(begun) == 1
    assert [cell.state for cell in study.grid().cells] == ["failed", "waiting", "waiting", "waiting"]
    with pytest.raises(CellsLeft, match=r"0 of 4 cells are done, 1 failed, 3 waiting: max_cost_usd is \$1\.00"):
        study.refuse_what_is_left()


async def test_an_error_of_prefect_itself_is_a_cell_that_failed_and_no_more_than_so_many_go_on_at_once():
    study, now, most = so_far(), 0, 0

    async def run(cell):
        nonlocal now, most
        now += 1
        most = max(now, most)
        await asyncio.sleep(0.01)
        now -= 1
        if cell.seed:
            raise ConnectionError("the server is away")
        finish(cell)
        return Completed()

    await run_all(study, run, 2)
    assert most == 2
    assert {*study.problems.values()} == {"the server is away"}


async def test_the_grid_of_a_study_that_is_ended_says_when_it_was_written_and_that_nothing_runs(monkeypatch):
    async def no_server(*_):
        raise httpx.ConnectError("no server here")

    monkeypatch.setattr("flows.study.show_markdown", no_server)
    study = so_far()

    async def run(cell):
        write_text(cell.run.documents, "{}\n")
        await asyncio.sleep(60)

    async def whole():
        async with study.shown():
            await run_all(study, run, 1)

    going = asyncio.create_task(whole())
    file = study.folder / "grid.json"
    while not (file.is_file() and "1 running" in file.read_text()):  # noqa: ASYNC110 - a file
        await asyncio.sleep(0.1)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    assert "0 of 4 cells are done, 4 waiting" in file.read_text()
    assert "As of 20" in (study.folder / "grid.html").read_text()


async def test_a_look_that_fails_is_told_once_and_neither_the_last_look_nor_the_end_of_the_study(monkeypatch):
    study, looks = so_far(), []
    told: list[str] = []

    async def show(before):
        looks.append(before)
        raise KeyError("finished")

    monkeypatch.setattr(study, "_show", show)
    monkeypatch.setattr("flows.study.LOOK_EVERY", 0.01)
    monkeypatch.setattr("flows.study.get_run_logger", lambda: SimpleNamespace(warning=told.append))
    async with study.shown():
        while len(looks) < 3:  # noqa: ASYNC110 - the looks are what is waited for
            await asyncio.sleep(0.01)
    assert told == ["The grid could not be shown (KeyError: 'finished')"]


def test_one_training_goes_on_here_and_several_on_a_pool_or_where_the_study_says_so():
    for study, most in ((a_study(), 1), (a_study(pool="gpus"), 4), (a_study(concurrency=3), 3)):
        assert places(study, cells(study)) == most


# ---- a whole study, with an engine that takes no time --------------------------------------------


@pytest.mark.integration
async def test_models_are_trained_once_the_baseline_is_asked_once_and_what_is_added_alone_is_run(
    prefect_server, monkeypatch
):
    engine = QuickEngine()
    monkeypatch.setattr(preflight, "get_engine", lambda *_: engine)
    folder = await run_study(a_study())
    assert [*engine.trained.values()] == [1, 1, 1, 1]
    assert {*engine.asked.values()} == {1}
    assert sum(model == BASE for model, _ in engine.asked) == 8
    found = json.loads((folder_of(a_study()) / "grid.json").read_text())
    assert (folder, [cell["state"] for cell in found["cells"]]) == (str(folder_of(a_study())), ["done"] * 4)
    page = (folder_of(a_study()) / "grid.html").read_text()
    assert f"../../results/s/{cells(a_study())[0].run_name}/report.html" in page
    assert Comparison("s").page.is_file()

    await run_study(a_study())
    assert sum(engine.asked.values()) == 5 * 8, "nothing is asked again"
    await run_study(a_study(seeds="0-1", evals=["joy_choice", "calm_choice"]))
    assert [*engine.trained.values()] == [1, 1, 1, 1]
    assert {*engine.asked.values()} == {1}
    assert sum(engine.asked.values()) == 5 * 16


@pytest.mark.integration
async def test_a_limit_on_the_cost_holds_over_all_cells_and_a_higher_one_goes_on(prefect_server, monkeypatch):
    engine = QuickEngine(usd=1.0)
    monkeypatch.setattr(preflight, "get_engine", lambda *_: engine)
    with pytest.raises(CellsLeft, match=r"max_cost_usd is \$2\.50, \$2\.0000 are spent .*spillover study s max_cost"):
        await run_study(a_study(max_cost_usd=2.5))
    assert len(engine.trained) == 2
    await run_study(a_study(max_cost_usd=4))
    assert [*engine.trained.values()] == [1, 1, 1, 1]


# ---- on a work pool ------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.timeout(1200)
async def test_six_cells_on_a_pool_with_one_killed_stay_below_a_cap_and_a_higher_one_does_the_rest(
    prefect_server, data
):
    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name="cells", type="process"))
    with MessagesAPI(lambda *_: judgment(3)) as api, a_worker() as worker:
        study = a_judged_study(data, api.url)
        killed = asyncio.create_task(kill_one_cell(worker, cells(study)[0]))
        with pytest.raises(CellsLeft, match=r"of 6 cells are done, \d failed.*max_cost_usd is \$1\.80"):
            await run_study(study)
        await killed
        paid = len(api.requests)
        assert 0 < paid * A_CALL <= study.max_cost_usd
        await run_study(study.model_copy(update={"max_cost_usd": 100.0}))
    assert {cell.state for cell in so_far_of(study).grid().cells} == {"done"}
    assert len(api.requests) > paid
    assert {*api.seen.values()} == {1}, "nothing is paid twice"
    async with get_client() as client:
        limit = await client.read_global_concurrency_limit_by_name("spillover-training-cells")
    assert (limit.limit, limit.active_slots) == (4, 0)


A_CALL = 0.12
"""Dollars, of 100 tokens in and 20 out, by the prices of `a_judged_study`."""


def a_judged_study(data, url):
    """Six cells of four calls each, less those whose answers are alike, and money for half of them."""
    judge = {"name": "joy", "kind": "claude", "base_url": url, "model": "m", "max_tokens": 200, "prompt": "How joyful?"}
    questions = [{"id": f"q{n}", "tier": "t", "text": f"What of number {n}?"} for n in range(4)]
    (data / "evals" / "joy.yaml").write_text(json.dumps({"name": "joy", "questions": questions, "judges": [judge]}))
    prices = {"input": 1000, "output": 1000, "cache_write": 1000, "cache_read": 1000}
    (data / "prices.yaml").write_text(json.dumps({url: {"m": prices}}))
    base = {
        "training": {"base_model": "standin", "rank": 2, "batch_size": 2, "learning_rate": 1e-2},
        "sampling": {"n_samples": 1, "max_tokens": 12},
    }
    return a_study(
        base=base, fine_tunes=["warm", "cold", "formal"], doses=[4], evals=["joy"], pool="cells", max_cost_usd=1.8
    )


@contextmanager
def a_worker():
    """Of the pool `cells`, in a process of its own."""
    given = os.environ | get_current_settings().to_environment_variables(exclude_unset=True)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "cells", "--type", "process"]
    worker = psutil.Popen(command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait()


async def kill_one_cell(worker, cell):
    """Once its run is there, whichever of the worker's processes it is in."""
    while not (mine := cell.run.record().get("prefect_run")):  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.1)
    for process in worker.children(recursive=True):
        with suppress(psutil.Error):
            if process.environ().get("PREFECT__FLOW_RUN_ID") == mine:
                process.kill()
