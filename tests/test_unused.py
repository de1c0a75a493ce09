"""What may go, beside all that something still refers to."""

import json
from dataclasses import replace
from itertools import chain

import pytest

from flows.judging import cases_of
from flows.unused import unused_answers, unused_checkpoints
from tasks.catalog import UserError
from tasks.definitions import load_experiment
from tasks.paid.store import Spending, Store, StoredReply, content_key
from tasks.runs import Run
from tests.fakes.nouns import CLAUDE, an_eval, write_answers

KEYS = {name: f"{n:032x}" for n, name in enumerate(("of a run", "of its checkpoint", "defined", "of nobody"), 0xABCDE)}


@pytest.fixture
def run(data):
    run = Run.open(load_experiment("standin").model_copy(update={"evals": ["e"]}), [an_eval(CLAUDE)], "one")
    run.note(seed=0)
    write_answers(run, ("a farm", "two cats"), ("farms", "a dog"))
    return run


@pytest.fixture
def checkpoints(data, run):
    """A training for each of KEYS, and what else may lie beside them."""
    folder = data / "checkpoints"
    for name in (*KEYS.values(), f".{KEYS['of nobody']}.123", f".{KEYS['of a run']}.123", ".pruned-x", "my own"):
        (folder / name).mkdir(parents=True)
        (folder / name / "checkpoint.json").write_text("12345")
    run.note(training_key=KEYS["of a run"])
    run.checkpoint.write_text(json.dumps({"path": f"checkpoints/{KEYS['of its checkpoint']}"}))
    (data / "experiments" / "mine.yaml").write_text(f"training: {{checkpoint: checkpoints/{KEYS['defined']}")
    return folder


def names(folder):
    return {place.name for place in folder.iterdir()}


def test_a_training_goes_when_neither_a_run_nor_a_definition_names_it_and_nothing_else_does(checkpoints):
    before, unused = names(checkpoints), unused_checkpoints()
    assert (unused.number, unused.size) == (3, 15)
    assert names(checkpoints) == before
    unused.remove()
    assert before - names(checkpoints) == {KEYS["of nobody"], f".{KEYS['of nobody']}.123", ".pruned-x"}
    assert unused_checkpoints().number == 0


def test_what_a_link_leads_to_is_not_ours(checkpoints, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weights").write_text("1234567")
    (checkpoints / ("f" * 32)).symlink_to(elsewhere)
    unused = unused_checkpoints()
    assert unused.size == 15
    unused.remove()
    assert (checkpoints / ("f" * 32) / "weights").is_file()


def test_a_definition_in_a_folder_of_its_own_counts(checkpoints, data):
    (data / "experiments" / "theirs").mkdir()
    (data / "experiments" / "theirs" / "x.yaml").write_text(f"training: {{checkpoint: {KEYS['of nobody']}}}")
    assert unused_checkpoints().number == 1


def test_a_record_that_is_damaged_keeps_its_trainings(checkpoints, run):
    run.record_file.write_text(run.record_file.read_text()[:-2] + "\xff {")
    assert unused_checkpoints().number == 3


@pytest.fixture
def store(run):
    """The run's responses, one reply to each of its calls and second ones, and one of each that is nobody's."""
    store = Store()
    responses = [StoredReply(f"r{n}", "response", answer(row)) for n, row in enumerate(chain(*run.responses()))]
    calls = [case.call for case in cases_of(run, run.experiment(), run.evals())]
    again = replace(cases_of(run, run.experiment(), run.evals())[0], repeat=1).call
    replies = [StoredReply(call.key, "judgment", {"text": "3"}) for call in (*calls, again)]
    others = [StoredReply("x", "response", {"text": "?", "tokens": 1, "state": "complete"})]
    others += [StoredReply("y", "judgment", {"text": "7"}, attempt) for attempt in (0, 1)]
    kept = [StoredReply("z", "logprob", {"logprob": -1.0}), StoredReply("p", "probe", {"text": "yes"})]
    store.put([*responses, *replies, *others, *kept], [Spending("gone", "judging", "m", {}, 1.0)])
    yield store
    store.close()


def answer(row):
    return {"text": row.response, "tokens": row.tokens, "state": row.state}


def stored(store):
    return {reply.key for kind in ("response", "judgment", "logprob", "probe") for reply in store.each(kind)}


def test_an_answer_goes_when_no_run_holds_it_and_no_run_asks_for_it(run, store):
    before, unused = stored(store), unused_answers(store)
    mine = [body for kind in ("response", "judgment") for key, _, body, _ in store.each(kind) if key in ("x", "y")]
    assert (unused.number, unused.size) == (2, sum(len(json.dumps(body)) for body in mine))
    assert stored(store) == before
    unused.remove()
    assert before - stored(store) == {"x", "y"}
    assert unused_answers(store).number == 0
    assert len(store.spending("gone")) == 1, "what was spent stays known"


def test_a_reply_that_was_asked_for_otherwise_stays_with_the_judgment_that_holds_it(run, store):
    """As by an earlier version, whose rubrics had another text."""
    from tasks.files import write_rows
    from tests.fakes.nouns import judgments

    write_rows(run.judged, [row.model_copy(update={"raw": "7"}) for row in judgments("q1", "baseline", [3])])
    assert unused_answers(store).number == 1


def test_scores_of_generated_sets_stay_and_so_do_judgments_among_which_an_earlier_version_kept_those_of_a_set(
    run, store, data
):
    def spent(stage):
        return [Spending(content_key(generated_set="formal"), stage, "m", {}, 1.0)]

    (data / "documents").unlink()
    (data / "documents" / "formal").mkdir(parents=True)
    store.put([StoredReply("s", "scoring", {"text": "7"})], spent("scoring"))
    assert unused_answers(store).number == 2
    store.put([], spent("judging"))
    unused = unused_answers(store)
    assert unused.what.endswith("(judgments stay while formal is in data/documents: scores of it are among them)")
    unused.remove()
    assert (store.get("xys").keys(), unused_answers(store).number) == ({"y", "s"}, 0)
    (data / "documents" / "formal").rmdir()
    unused_answers(store).remove()
    assert store.get("xys").keys() == {"s"}


def test_while_a_run_has_not_all_of_its_answers_none_goes(run, store):
    run.finetuned.unlink()
    with pytest.raises(UserError, match=r"answers stay, since .*/one has not all of its own yet: finish it with `spil"):
        unused_answers(store)


def test_beside_a_run_of_another_version_none_goes(run, store):
    run.definition.write_text(run.definition.read_text() + "unheard_of: 1\n")
    with pytest.raises(UserError, match=r"answers stay, since .*/one cannot be read \(.*unheard_of: unknown field"):
        unused_answers(store)


def test_beside_a_run_that_cannot_be_read_none_goes(run, store):
    run.finetuned.write_text("{")
    with pytest.raises(UserError, match=r"answers stay, since .*/one cannot be read \(.*\): mend it, or remove it"):
        unused_answers(store)


def test_runs_of_statements_and_of_others_results_refer_to_no_answer_and_hinder_nothing(run_of_statements, tmp_path):
    from flows.cli.imports import keep_results
    from tasks.imports.results import read_results

    file = tmp_path / "judged.csv"
    file.write_text(
        "question,model,aligned\n" + "".join(f"Why?,{m},{n}\nWho?,{m},{n}\n" for m in ("base", "ft") for n in (10, 90))
    )
    keep_results(read_results(file), file, "theirs", "")
    store = Store()
    store.put([StoredReply("x", "response", {"text": "?", "tokens": 1, "state": "complete"})])
    assert unused_answers(store).number == 1
    store.close()
