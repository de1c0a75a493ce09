import re
import shutil

import pytest

from flows.cli.check_study import alike, costs_of, show_study_plan, together
from flows.study import check_prices
from tasks.catalog import UserError, validate
from tasks.files import write_text
from tasks.paid.prices import CostRange
from tasks.schema import Study, Writer
from tasks.strict_yaml import dump
from tasks.studies.definition import cells
from tests.conftest import PROJECT
from tests.fakes.author import a_set

EVAL = """
name: hens
questions: [{id: one, tier: t, text: "What of hens?"}, {id: two, tier: t, text: "And of eggs?"}]
judges: [{name: warmth, kind: claude, prompt: "How warm is it, from 1 to 5?"}]
"""


@pytest.fixture(autouse=True)
def hens(data):
    (data / "evals" / "hens.yaml").write_text(EVAL)
    shutil.copy(PROJECT / "data" / "prices.yaml", data)


def a_study(**fields):
    base = {"training": {"base_model": "standin"}, "sampling": {"n_samples": 3}}
    given = {"name": "s", "base": base, "fine_tunes": ["warm", "cold"], "seeds": "0-1", "evals": ["hens"]}
    return validate(Study, given | fields, "s.yaml")


def finish(cell, minute):
    write_text(cell.run.definition, "name: s\n")
    write_text(cell.run.report, "<html>")
    cell.run.note(finished=f"2026-01-01T10:{minute:02}:00+00:00")


def shown(capsys):
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_the_plan_of_a_study_says_its_cells_what_is_asked_what_it_costs_and_what_keeps_it_from_running(capsys):
    show_study_plan(a_study(max_cost_usd=3))
    text = shown(capsys)
    assert "cells 4: 2 fine-tunes, 2 seeds; 0 are done" in text
    assert "of each model 6 answers" in text
    assert "judge warmth 30 calls to claude-sonnet-4-6" in text, "of four models and of one baseline"
    assert re.search(r"cost about \$0\.\d\d, .* judge warmth \$0\.\d\d; max_cost_usd stops it at \$3\.00", text)
    assert "time known here as soon as two cells are done" in text
    assert "Before it can run: " in text
    assert "ANTHROPIC_API_KEY" in text


def test_a_set_and_a_base_model_that_are_not_there_are_told_before_the_study_meets_them(capsys, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    show_study_plan(a_study(fine_tunes=["nowhere"]))
    assert "Before it can run: documents: no set 'nowhere'" in shown(capsys)
    show_study_plan(a_study(base={"training": {"base_model": "missing"}}))
    assert "Before it can run: training.base_model: no model folder 'missing'" in shown(capsys)


def test_what_is_done_costs_nothing_more_and_its_pace_says_how_long_the_rest_takes(capsys):
    study = a_study()
    for minute, cell in enumerate(cells(study)[:3]):
        finish(cell, 5 * minute)
    show_study_plan(study)
    text = shown(capsys)
    assert "3 are done" in text
    assert "judge warmth 12 calls" in text
    assert "time about 5 min here" in text
    finish(cells(study)[3], 20)
    show_study_plan(study)
    assert "cost nothing time all cells are done" in shown(capsys)


def test_cells_that_are_asked_otherwise_have_a_baseline_of_their_own():
    longer = {"name": "cold", "sampling": {"n_samples": 5}}
    groups = alike(cells(a_study(fine_tunes=["warm", longer])))
    assert [(group.models, group.answers) for group in groups] == [(2, 6), (2, 10)]
    assert [part for part, _ in together([cost for group in groups for cost in costs_of(group)])] == ["judge warmth"]


def test_one_part_that_is_unknown_makes_its_sum_unknown_and_no_other():
    known, unknown = CostRange(1.0, 2.0), CostRange(None, None)
    assert together([("a", known), ("b", known), ("a", unknown), ("b", known)]) == [
        ("a", unknown),
        ("b", CostRange(2.0, 4.0)),
    ]


@pytest.fixture
def lakes(data):
    """A set that is defined and not written yet; returns what writes its definition."""
    (data / "documents").unlink()
    shutil.copytree(PROJECT / "data" / "documents" / "cold", data / "documents" / "cold")

    def define(**given):
        wanted = a_set(documents=12, preview=False, writer=Writer(model="claude-haiku-4-5"), **given)
        write_text(data / "documents" / "lakes" / "set.yaml", dump(wanted.model_dump(exclude_defaults=True)))

    return define


def test_a_set_that_the_study_writes_first_is_told_with_its_price_and_wants_a_limit_where_the_study_has_one(
    capsys, monkeypatch, lakes
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    lakes()
    show_study_plan(study := a_study(fine_tunes=["lakes", "cold"]))
    text = shown(capsys)
    assert "set lakes 12 to be written by claude-haiku-4-5" in text
    assert re.search(r"writing lakes \$0\.\d+", text)
    limited = study.model_copy(update={"max_cost_usd": 5.0})
    show_study_plan(limited)
    assert "Before it can run: max_cost_usd does not hold over the set lakes" in shown(capsys)
    with pytest.raises(UserError, match=r"set lakes, which is not written yet .* max_cost_usd into its set.yaml, or"):
        check_prices(limited, cells(limited))
    lakes(max_cost_usd=1.0)
    check_prices(limited, cells(limited))
