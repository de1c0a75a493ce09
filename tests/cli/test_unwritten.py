import shutil

from flows.cli.unwritten import as_if_written, writing_costs
from tasks.definitions import load_experiment
from tasks.documents.sets import gather
from tasks.schema import Writer
from tests.conftest import PROJECT
from tests.fakes.author import a_set

WANTED = a_set(documents=40, tones=["neutral", "positive"], writer=Writer(model="claude-haiku-4-5"))


def test_a_set_that_is_not_written_yet_counts_by_its_definition_beside_those_that_are():
    sets = '[{name: "lakes/positive", limit: 30, conditioning: prefix}, {name: formal}]'
    experiment = load_experiment("standin", [f"documents={sets}"])
    with as_if_written(experiment, [WANTED]) as known:
        mixed, rejected, mixture = gather(known.documents, 0)
    assert [record["drawn"] for record in mixture["sets"]] == [30, 40]
    assert (len(mixed), rejected) == (70, [])
    assert {document.conditioning for document in mixed} == {"prefix", "chat"}


def test_nothing_changes_where_all_are_there():
    experiment = load_experiment("standin")
    with as_if_written(experiment, []) as known:
        assert known is experiment


def test_what_it_costs_to_write_it_is_told_under_its_name(data):
    shutil.copy(PROJECT / "data" / "prices.yaml", data)
    ((name, cost),) = writing_costs([WANTED])
    assert name == "writing lakes"
    assert cost.expected is not None
    assert cost.most is not None
    assert 0 < cost.expected < cost.most
