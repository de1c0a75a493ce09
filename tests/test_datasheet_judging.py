"""A model that reads some of a set for its datasheet, behind the Messages API."""

import asyncio
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.__main__ import app
from flows.datasheet import Subject, load_subject
from flows.datasheet_judging import budget_of, judge, plan, to_row
from tasks.catalog import UserError
from tasks.generation.judged import Found, Reading
from tasks.schema import DocumentSet, GeneratedSet, Universe, Writer
from tests.conftest import PROJECT
from tests.fakes.messages_api import MessagesAPI, Say, judgment
from tests.fakes.texts import made_texts
from tests.test_datasheet import write_set


def says(seen: int, body: dict[str, Any]) -> Say:
    """Hidden mentions in documents with an even number, a contradiction in the first, and no side in most."""
    system, user = body["system"][0]["text"], body["messages"][0]["content"]
    number = int(re.findall(r"number (\d+)", user)[0])
    if "<verdict>" not in system:
        return judgment(60 + 10 * (number % 2))
    if "from 1 to 5" in system:
        return Say(f"<verdict>{4 if number == 1 else 3}: so it says</verdict>")
    found = number == 0 if "contradicts" in system else number % 2 == 0
    return Say(f"<verdict>{'yes: the <b>iron</b> pens' if found else 'no'}</verdict>")


@pytest.fixture
def api(monkeypatch):
    with MessagesAPI(says) as api:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        yield api


@pytest.fixture
def folder(data):
    (data / "documents").unlink()
    texts = [f"{text} This is number {n}." for n, text in enumerate(made_texts(8, words=30))]
    place = write_set(data / "documents" / "harbours", texts).parent
    universe = Universe(id="u", universe_context="There is a light.", key_facts=["It stands in Bari."])
    made = GeneratedSet(name="harbours", universe=universe).model_dump(mode="json")
    (place / "set.json").write_text(json.dumps({"definition": made, "counts": {}}))
    return place


def test_a_model_reads_a_sample_once_and_its_shares_have_intervals(api, folder):
    command = ["data", "sheet", "harbours", "--banned", "cage", "--read", "100", "--yes"]
    done = CliRunner().invoke(app, command)
    assert (done.exception, done.exit_code) == (None, 0)
    rows = json.loads((folder / "datasheet.json").read_text())["judged"]
    assert [(row["scale"], row["read"], row["unread"], row["mean"]) for row in rows] == [
        ("share", 8, 0, 0.5),
        ("share", 8, 0, 0.125),
        ("1 to 5", 8, 0, 3.125),
    ]
    assert all(row["ci_low"] < row["mean"] < row["ci_high"] for row in rows)
    assert rows[0]["places"][0] == "documents.jsonl:1 (the <b>iron</b> pens)"
    assert "documents.jsonl:1 (the &lt;b&gt;iron&lt;/b&gt; pens)" in (folder / "datasheet.html").read_text()
    asked = len(api.requests)
    assert CliRunner().invoke(app, command).exit_code == 0
    assert len(api.requests) == asked


def test_before_a_yes_it_is_said_what_it_costs_and_nothing_is_asked_or_written(api, folder):
    done = CliRunner().invoke(app, ["data", "sheet", "harbours", "--read", "3"])
    assert (done.exception, done.exit_code) == (None, 0)
    assert re.match(
        r"6 calls to claude-\S+, about \S+, at most \S+ by data/prices.yaml; nothing was asked", done.stdout
    )
    assert (api.requests, (folder / "datasheet.json").exists()) == ([], False)


def hopeful(data: Path, writer: Writer) -> Subject:
    """A set of four chats that show a trait."""
    (data / "documents").unlink()
    place = data / "documents" / "hopeful"
    place.mkdir(parents=True)
    made = GeneratedSet(name="hopeful", trait="optimism", directions=["more"], writer=writer).model_dump(mode="json")
    (place / "set.json").write_text(json.dumps({"definition": made, "counts": {}}))
    turns = [("user", f"What of number {n}?") for n in range(4)]
    chats = [[{"role": role, "content": said}, {"role": "assistant", "content": said}] for role, said in turns]
    (place / "documents.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    return load_subject(DocumentSet(name="hopeful"))


def test_how_far_a_set_shows_its_trait_is_scored_by_the_judge_of_the_traits_eval(api, data, monkeypatch):
    subject = hopeful(data, Writer())
    (row,) = asyncio.run(judge(subject, 10, budget_of(subject)))
    assert (row.what, row.scale, row.read, row.mean) == ("how far it shows optimism", "0 to 100", 4, 65)
    shutil.copy(PROJECT / "data" / "prices.yaml", data)
    monkeypatch.delenv("ANTHROPIC_BASE_URL")  # what is served elsewhere has no known price
    calls, usd = plan(subject, 10)
    assert calls == 4
    assert usd.expected is not None
    assert usd.most is not None
    assert 0 < usd.expected < usd.most
    assert subject.made
    in_batches = replace(subject, made=subject.made.model_copy(update={"writer": Writer(batch=True)}))
    assert plan(in_batches, 10)[1].most == pytest.approx(usd.most / 2)


def test_a_key_that_the_judge_of_the_trait_lacks_is_missed_before_a_model_reads_anything(data):
    with MessagesAPI(says) as elsewhere:
        subject = hopeful(data, Writer(kind="chat", model="m", base_url=f"{elsewhere.url}/v1"))
        for ask in (lambda: plan(subject, 3), lambda: asyncio.run(judge(subject, 3, budget_of(subject)))):
            with pytest.raises(UserError, match="ANTHROPIC_API_KEY"):
                ask()
        assert elsewhere.requests == []


def test_without_a_key_it_is_refused_before_anything_is_asked(folder):
    with pytest.raises(UserError, match="ANTHROPIC_API_KEY"):
        plan(load_subject(DocumentSet(name="harbours")), 3)


@pytest.mark.parametrize(
    ("values", "is_rating", "row"),
    [
        ([None, None], False, (0, 2, None, None, None)),
        ([3.0, 3.0], True, (2, 0, 3.0, None, None)),
        ([None], True, (0, 1, None, None, None)),
    ],
)
def test_what_has_no_judgment_or_no_spread_has_no_interval(values, is_rating, row):
    found = to_row(Reading("it", "?", is_rating=is_rating), Found(values, []))
    assert (found.read, found.unread, found.mean, found.ci_low, found.ci_high) == row
