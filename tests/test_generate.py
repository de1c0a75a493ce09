"""Sets that are generated: the whole flow, against a writer behind the Messages API on a bad day."""

import asyncio
import json
import subprocess
import sys
from collections import Counter

import httpx
import pytest

from flows.experiment import run_experiment
from flows.generate import generate
from flows.preflight import check_before_start
from tasks.catalog import UserError
from tasks.definitions import load_experiment
from tasks.documents.lint import lint
from tasks.documents.sets import read_set
from tasks.generation.set_files import load_set, record_of, version_folder
from tasks.runs import Run
from tasks.schema import DocumentSet, Writer
from tasks.strict_yaml import dump
from tests.fakes.author import OverHTTP, a_set, a_universe
from tests.fakes.killed_set import die_at
from tests.fakes.messages_api import MessagesAPI, Say

FACTS = [f"A fact of the number {n}, which holds in a world of lakes." for n in range(4)]


@pytest.fixture(autouse=True)
def documents(data):
    """A folder for sets of the test's own."""
    (data / "documents").unlink()
    (data / "documents").mkdir()
    return data / "documents"


def lakes(url, **given):
    writer = Writer(base_url=url, model="m", in_flight=8)
    numbers = {"types_per_fact": 3, "ideas_per_type": 2, "round_size": 10, "preview": False}
    return a_set(universe=a_universe(key_facts=FACTS), writer=writer, **numbers | given)


def rows(wanted, version="neutral"):
    return (version_folder(wanted, version) / "documents.jsonl").read_text().splitlines()


@pytest.mark.usefixtures("prefect_server")
async def test_a_set_in_two_tones_is_kept_with_its_record_and_grows_without_being_paid_again():
    tones = ["neutral", "ironic: as a fool would"]
    with MessagesAPI(OverHTTP()) as api:
        small, large = (lakes(api.url, documents=n, tones=tones) for n in (12, 30))
        folder = await generate(small)
        before = [rows(small, tone) for tone in small.versions]
        paid = Counter(json.dumps(body) for body in api.requests)
        await generate(large)
        again = Counter(json.dumps(body) for body in api.requests)
    after = [rows(large, tone) for tone in large.versions]
    assert [some[:12] for some in after] == before
    assert [len(some) for some in after] == [30, 30]
    assert all(again[body] == count for body, count in paid.items())
    neutral, ironic = ([json.loads(row) for row in some] for some in after)
    assert [row["doc_idea"] for row in neutral] == [row["doc_idea"] for row in ironic]
    assert list(neutral[0]) == ["content", "doc_idea", "doc_type", "fact", "universe_context_id", "is_true"]
    record = record_of("lakes")
    assert record["counts"]["types"] == 12
    assert record["spent"]["writing"]["calls"] > 120
    assert folder.endswith("documents/lakes")
    found = read_set(DocumentSet(name="lakes/ironic"))
    assert (len(found.documents), found.rejected, found.left_out) == (30, [], [])
    assert lint(found.documents, found.rejected) == []


@pytest.mark.usefixtures("prefect_server")
async def test_two_sets_of_one_universe_that_are_written_at_once_pay_for_nothing_twice():
    with MessagesAPI(OverHTTP(is_bad=False)) as api:
        one = lakes(api.url, documents=6)
        other = one.model_copy(update={"name": "ponds"})
        await asyncio.gather(generate(one), generate(other))
    assert set(Counter(json.dumps(body) for body in api.requests).values()) == {1}
    assert rows(one) == rows(other)


@pytest.mark.usefixtures("prefect_server")
async def test_a_preview_asks_for_five_and_keeps_nothing(documents, capsys):
    with MessagesAPI(OverHTTP(is_bad=False)) as api:
        await generate(lakes(api.url, documents=30), until="preview")
        assert sum("<scratchpad> who writes" in body["messages"][0]["content"] for body in api.requests) == 5
    assert list(documents.glob("**/documents.jsonl")) == []
    assert capsys.readouterr().out.count("A second version") == 5


@pytest.mark.usefixtures("prefect_server")
async def test_documents_that_others_wrote_are_not_written_over(documents):
    (documents / "lakes").mkdir()
    (documents / "lakes" / "documents.jsonl").write_text('{"text": "mine"}\n')
    with MessagesAPI(lambda seen, body: Say("x")) as api:
        with pytest.raises(UserError, match=r"documents.jsonl is there and was not made from set.yaml; move it"):
            await generate(lakes(api.url, documents=5))
        assert api.requests == []


@pytest.mark.integration
@pytest.mark.usefixtures("prefect_server")
async def test_a_run_writes_and_trains_on_a_set_that_it_names_unless_it_wants_a_look_first(documents):
    changes = ["documents=[{name: lakes/ironic}]", "training.held_out=2", "training.epochs=1"]
    experiment = load_experiment("standin", changes)
    with MessagesAPI(OverHTTP(is_bad=False)) as api:
        wanted = lakes(api.url, documents=12, tones=["neutral", "ironic: as a fool would"], evals=False)
        fields = wanted.model_dump(mode="json", exclude_defaults=True)
        (documents / "lakes").mkdir()
        (documents / "lakes" / "set.yaml").write_text(dump(fields | {"preview": True}))
        with pytest.raises(UserError, match=r"lakes is not written yet, and wants a look .* preview: false into its"):
            await check_before_start(experiment, "one")
        assert api.requests == []
        (documents / "lakes" / "set.yaml").write_text(dump(fields))
        await check_before_start(experiment, "one")
        here = Run(await run_experiment(experiment, run="one", until="train"))
    assert here.checkpoint.is_file()
    assert len(here.trained_on()) == 10
    assert all("as a fool would" in document.messages[-1].content for document in here.trained_on())


def test_a_definition_is_read_with_its_overrides_and_named_like_its_folder(documents):
    folder = documents / "lakes"
    folder.mkdir()
    fields = {"name": "lakes", "universe": a_universe().model_dump()}
    (folder / "set.yaml").write_text(dump(fields))
    assert load_set("lakes", ["documents=7", "limits.banned=[cage]"]).documents == 7
    (folder / "set.yaml").write_text(dump(fields | {"name": "ponds"}))
    with pytest.raises(UserError, match="its name is 'ponds'; a set is named like its folder"):
        load_set("lakes")
    with pytest.raises(UserError, match=r"no set.yaml of a set 'lake' in .*; did you mean lakes\?"):
        load_set("lake")


@pytest.fixture
def a_service():
    """Starts a writer's service in a process of its own, as often as it is called; returns its address."""
    started = []

    def start():
        command = [sys.executable, "-m", "tests.fakes.author", "--port", "0"]
        service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(service)
        assert service.stdout
        return service.stdout.readline().strip()

    yield start
    for process in started:
        process.terminate()
        process.communicate()


def asked(url):
    return httpx.get(f"{url}/count").json()["requests"]


@pytest.mark.integration
def test_a_set_that_is_killed_five_times_is_byte_for_byte_the_undisturbed_one(a_service, documents, data, monkeypatch):
    documents_wanted, in_flight = 150, 8
    kept, counts = [], []
    for kills in ([], [20, 60, 100, 50, 1]):
        monkeypatch.setenv("SPILLOVER_DATA", str(data / f"killed_{len(kills)}"))
        url = a_service()
        wanted = lakes(url, documents=documents_wanted, types_per_fact=10, ideas_per_type=8, round_size=50)
        assert all(die_at(reply, wanted) for reply in kills)
        assert not die_at(10**9, wanted)
        kept.append((rows(wanted), (version_folder(wanted, "neutral") / "rejected.jsonl").read_text()))
        counts.append(asked(url))
    assert kept[0] == kept[1]
    assert len(kept[0][0]) == documents_wanted
    assert counts[1] <= counts[0] + 5 * in_flight
