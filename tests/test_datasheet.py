"""Datasheets as files: beside the documents, and of the sets that ship as they are now."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.__main__ import app
from flows.datasheet import load_subject, measured, write_datasheet
from tasks.catalog import UserError, document_files
from tasks.schema import Datasheet, DocumentSet, GeneratedSet, SetLimits, Universe
from tests.conftest import PROJECT
from tests.fakes.texts import made_texts
from tests.test_shipped_sets import PAIRS

DOCUMENTS = PROJECT / "data" / "documents"
SHIPPED = sorted(file.parent.name for file in DOCUMENTS.glob("*/documents.jsonl"))
PAIRED = {
    **{one: other for pair in PAIRS for one, other in (pair, pair[::-1])},
    **{f"factory_farming_{tone}": "factory_farming_neutral" for tone in ("approving", "condemning")},
}
"""The set beside which a shipped one is measured."""


@pytest.mark.parametrize("name", SHIPPED)
def test_the_datasheet_of_a_shipped_set_is_current_and_all_limits_hold(name):
    """`spillover data sheet NAME --pair OTHER` writes it anew."""
    kept = Datasheet.model_validate_json((DOCUMENTS / name / "datasheet.json").read_text(encoding="utf-8"))
    pair = DocumentSet(name=PAIRED[name]) if name in PAIRED else None
    assert kept == measured(load_subject(DocumentSet(name=name)), pair)
    assert not [held for held in kept.held if held.documents]
    assert kept.pair is None or kept.pair.beyond == 0


def write_set(folder: Path, texts: list[str]) -> Path:
    folder.mkdir(parents=True)
    file = folder / "documents.jsonl"
    file.write_text("".join(json.dumps({"doc_idea": "i", "doc_type": "t", "content": t}) + "\n" for t in texts))
    return file


def test_a_datasheet_stands_beside_the_documents_and_is_read_as_none(tmp_path):
    file = write_set(tmp_path / "mine", made_texts(5, words=30))
    for wanted, name in ((file.parent, "datasheet"), (file, "documents.datasheet")):
        sheet = write_datasheet(DocumentSet(path=str(wanted)))
        assert file.with_name(f"{name}.html").read_text().startswith("<!doctype html>")
        assert Datasheet.model_validate_json(file.with_name(f"{name}.json").read_text()) == sheet
        assert sheet.name == wanted.name
    assert document_files("", str(file.parent))[0] == [file]


def test_the_limits_and_the_names_of_a_generated_set_are_those_of_its_definition(data):
    (data / "documents").unlink()
    texts = [f"{text} So Marchetti came to Bari, where cages were." for text in made_texts(12, words=30)]
    write_set(data / "documents" / "harbours" / "negative", texts)
    made = GeneratedSet(
        name="harbours",
        universe=Universe(id="u", universe_context="There is a light.", key_facts=["It stands in Bari."]),
        limits=SetLimits(banned=["cage"]),
    )
    record = {"definition": made.model_dump(mode="json"), "counts": {"refused": 3}}
    (data / "documents" / "harbours" / "set.json").write_text(json.dumps(record))
    sheet = measured(load_subject(DocumentSet(name="harbours/negative")))
    assert (sheet.name, sheet.made, [name.text for name in sheet.names]) == (
        "harbours/negative",
        {"refused": 3},
        ["Marchetti"],
    )
    assert [held.documents for held in sheet.held if held.limit == "banned words: none"] == [12]


def test_the_command_says_what_is_beyond_a_limit_and_where_the_page_is(tmp_path):
    texts = made_texts(6, words=30)
    folder = write_set(tmp_path / "mine", [*texts, texts[2], "In cages [Your Name] sat."]).parent
    done = CliRunner().invoke(app, ["data", "sheet", str(folder), "--banned", "cage"])
    assert done.exit_code == 1
    said = done.stdout.splitlines()
    assert said[0] == "Some of the 8 documents are beyond 3 of the 5 limits."
    assert "      1 beyond  banned words: none" in said
    assert "                documents.jsonl:8 (cages)" in said
    assert "most alike: documents.jsonl:3 and documents.jsonl:7, 100.0 % of their phrases" in said
    assert said[-1] == str(folder / "datasheet.html")


def test_the_command_ends_well_where_all_limits_hold(tmp_path):
    folder = write_set(tmp_path / "mine", made_texts(3, words=30)).parent
    assert CliRunner().invoke(app, ["data", "sheet", str(folder), "--pair", str(folder)]).exit_code == 0
    assert json.loads((folder / "datasheet.json").read_text())["pair"]["pairs"] == 3


def test_sets_without_a_common_prompt_are_refused_as_a_pair_and_nothing_is_written(tmp_path):
    folder = write_set(tmp_path / "mine", made_texts(3, words=30)).parent
    done = CliRunner().invoke(app, ["data", "sheet", str(folder), "--pair", "optimistic"])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == ("--pair: no prompt or idea of mine is in optimistic; name a set with the same ones")
    assert not (folder / "datasheet.json").exists()
