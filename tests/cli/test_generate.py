"""What `spillover generate` says before it asks for anything, and what it refuses."""

import re
import shutil

import pytest

from flows.cli.generate import generate_in_terminal, refuse_what_is_made, show_check, steps_of
from tasks.catalog import UserError
from tasks.generation.set_files import keep_set, load_set
from tasks.schema import SyntheticDocument, Writer
from tests.conftest import PROJECT
from tests.fakes.author import a_set

WRITER = Writer(model="claude-haiku-4-5")


@pytest.fixture(autouse=True)
def prices(data):
    """Those that come with Spillover."""
    shutil.copy(PROJECT / "data" / "prices.yaml", data)


def test_the_shipped_example_is_priced_by_stage_without_a_key(capsys):
    show_check(load_set("farming_in_tones"))
    said = capsys.readouterr().out
    assert "500 documents in each of neutral, negative, positive, by claude-haiku-5-5" in said
    calls = {line.split()[0]: line.split()[1] for line in said.splitlines() if re.match(r"[a-z]+ +[\d,]+ ", line)}
    written = {"types": "8", "ideas": "160", "drafts": "1,500", "rewrites": "1,500"}
    assert calls == written | {"statements": "16", "questions": "4", "all": "3,188"}
    assert "max_cost_usd stops it at $25.00" in said
    assert "Before it can run: the writer asks Claude, and ANTHROPIC_API_KEY is not set" in said


def test_batches_cost_half_and_twice_the_documents_cost_twice_the_drafts():
    one, many, batch = (
        {step.name: step.cost.expected or 0.0 for step in steps_of(wanted)}
        for wanted in (
            a_set(writer=WRITER, documents=100),
            a_set(writer=WRITER, documents=200),
            a_set(writer=WRITER.model_copy(update={"batch": True}), documents=100),
        )
    )
    assert many["drafts"] == pytest.approx(2 * one["drafts"])
    assert batch["drafts"] == pytest.approx(one["drafts"] / 2)
    assert many["types"] == one["types"]


def test_a_set_of_a_trait_is_priced_with_its_judge(capsys):
    show_check(a_set(universe=None, trait="formality", writer=WRITER, documents=50))
    said = capsys.readouterr().out
    written, judged = (re.search(rf"{what} +(\d+) ", said) for what in ("answers", "judge formality"))
    assert written
    assert judged
    assert int(written[1]) == int(judged[1]) >= 100


def test_a_set_that_is_there_says_how_more_are_added(data):
    (data / "documents").unlink()
    wanted = a_set(documents=1)
    row = SyntheticDocument(
        content="a", doc_idea="b", doc_type="c", fact="d", universe_context_id="lakes", is_true=False
    )
    keep_set(wanted, {"neutral": [row]}, {"neutral": []}, {"counts": {}})
    with pytest.raises(UserError, match=r"has its 1 documents already; for more of them .* documents=501 behind"):
        refuse_what_is_made(wanted)
    refuse_what_is_made(wanted.model_copy(update={"documents": 2}))
    refuse_what_is_made(wanted.model_copy(update={"seed": 1}))


def test_a_missing_key_is_said_before_anything_begins():
    with pytest.raises(UserError, match="the writer asks Claude, and ANTHROPIC_API_KEY is not set"):
        generate_in_terminal(a_set(), ["spillover", "generate", "lakes"], yes=True, address="")
