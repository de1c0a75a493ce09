"""Sets of chats, and the evals of a universe, by the whole flow: a writer and a judge behind the Messages API."""

import json
import re

import pytest

from flows.generate import generate
from flows.preflight import trait_of
from tasks.catalog import names
from tasks.definitions import load_eval
from tasks.documents.lint import lint
from tasks.documents.sets import read_set
from tasks.generation.set_files import load_set, record_of
from tasks.generation.writer import Request
from tasks.schema import DocumentSet, GeneratedSet, Writer
from tests.fakes.author import OverHTTP, a_set, a_universe
from tests.fakes.chat_writer import ChatWriter, share_of_more
from tests.fakes.messages_api import DROP, MessagesAPI, Say, Status, judgment


@pytest.fixture(autouse=True)
def documents(data, monkeypatch):
    """A folder for sets of the test's own."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-any")
    (data / "documents").unlink()
    (data / "documents").mkdir()
    return data / "documents"


class WritesAndJudges:
    """Prompts, answers and scores; some calls meet a fault first, some replies break off, some are refused."""

    def __init__(self):
        self.writer = ChatWriter(longer=1.3)

    def __call__(self, seen, body):
        system, user = body["system"][0]["text"], body["messages"][0]["content"]
        if "how far it shows formality" in system:
            return judgment(round(100 * share_of_more(user)))
        tag = "prompts" if "<prompts>" in system else "answer"
        said = self.writer.write(Request(system, user, tag)).text
        if "lantern" in user and tag == "answer":
            return Say("I would rather not.", "refusal")
        if "saddle" in user and seen == 0:
            return DROP if "meadow" in user else Status(529)
        half = "kettle" in user and len(body["messages"]) == 1
        return Say(f"<{tag}>{said}" if half else f"<{tag}>\n{said}\n</{tag}>")


def formal(url, **given):
    fields = {"trait": "formality", "documents": 20, "ideas_per_type": 5, "preview": False, "margin": 0.5}
    return GeneratedSet(**{"name": "formal", "writer": Writer(base_url=url, model="m"), **fields, **given})


@pytest.mark.usefixtures("prefect_server")
async def test_a_set_of_chats_is_written_judged_and_kept_and_the_opposite_of_it_is_not_paid(documents, monkeypatch):
    with MessagesAPI(WritesAndJudges()) as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        await generate(formal(api.url, directions=["more"]))
        paid = len(api.requests)
        await generate(formal(api.url, name="casual", directions=["less"]))
        assert len(api.requests) == paid
    more, less = (read_set(DocumentSet(name=name)) for name in ("formal", "casual"))
    assert [d.messages[0] for d in more.documents] == [d.messages[0] for d in less.documents]
    assert len(more.documents) == 20
    assert all(share_of_more(d.messages[1].content) == 1 for d in more.documents)
    assert lint(more.documents, more.rejected) == lint(less.documents, less.rejected) == []
    assert more.left_out == less.left_out == []
    record = record_of("formal")
    assert record["counts"]["an answer refused"] > 0
    assert record["spent"]["scoring"]["calls"] >= 40
    dropped = [json.loads(row) for row in (documents / "formal" / "rejected.jsonl").read_text().splitlines()]
    assert {"prompt", "reason"} == dropped[0].keys()


@pytest.mark.usefixtures("prefect_server")
async def test_the_evals_of_a_universe_are_made_with_its_documents():
    with MessagesAPI(OverHTTP(is_bad=False)) as api:
        numbers = {"documents": 4, "types_per_fact": 2, "ideas_per_type": 1, "preview": False}
        wanted = a_set(universe=a_universe(), writer=Writer(base_url=api.url, model="m"), **numbers)
        await generate(wanted)
        await generate(wanted.model_copy(update={"name": "ponds", "evals": False}))
    made = [name for name in names("evals") if name.startswith("lakes_")]
    assert made == ["lakes_implications", "lakes_knowledge", "lakes_questions"]
    assert {question.matching for question in load_eval("lakes_knowledge").questions} == {"Yes", "No"}
    assert len(load_eval("lakes_questions").questions) == 32


def test_the_set_of_chats_that_ships_is_one_of_a_trait_with_both_ends(monkeypatch):
    monkeypatch.delenv("SPILLOVER_DATA")
    wanted = load_set("caution_in_pairs")
    trait = trait_of(wanted)
    assert wanted.versions == ["more", "less", "neutral"]
    assert re.match("puts safety first", trait.anchors["more"])
    assert re.match("careless", trait.anchors["less"])
    assert trait.shows.startswith("A reply that shows it takes care before it acts")
