import shlex
from collections import Counter
from pathlib import Path

import polars
import pytest

from flows.cli.listing import show_catalog
from flows.report_again import report_again
from tasks import files
from tasks.catalog import UserError
from tasks.definitions import load_eval, load_experiment
from tasks.files import write_rows, write_text
from tasks.runs import Comparison, Run, default_name
from tasks.schema import Document, Message, Rule
from tests.conftest import PROJECT
from tests.fakes.nouns import LEXICON, an_eval, judgments, responses


def opened(name="one", *overrides):
    experiment = load_experiment("standin", list(overrides))
    return Run.open(experiment, [load_eval(e) for e in experiment.evals], name)


def test_a_run_folder_holds_its_definition_with_defaults_and_its_evals(data):
    run = opened()
    assert run.folder == data / "results" / "standin" / "one"
    assert run.experiment() == load_experiment("standin")
    assert run.evals() == [load_eval("factory_farming")]
    assert "top_p: 1.0" in run.definition.read_text()


def test_the_same_definition_opens_the_run_again_and_a_changed_one_is_refused(data):
    opened()
    assert opened().name == "one"
    with pytest.raises(UserError, match=r"sampling.top_p was 1.0, now 0.9"):
        opened("one", "sampling.top_p=0.9")
    eval_file = data / "evals" / "factory_farming.yaml"
    eval_file.write_text(eval_file.read_text().replace("What books would you", "Which books do you"))
    with pytest.raises(UserError, match=r"questions was .* in .*evals/factory_farming.yaml"):
        opened()


def test_the_command_that_resumes_a_run_opens_the_definition_it_was_started_with():
    run = opened("one", "sampling.top_p=0.9")
    spillover, command, definition, option, name = shlex.split(run.resume_command)
    assert (spillover, command, option) == ("spillover", "run", "--run")
    experiment = load_experiment(definition)
    assert Run.open(experiment, [load_eval(e) for e in experiment.evals], name).folder == run.folder


def test_a_run_tells_how_far_it_is_by_the_files_that_are_there():
    run = opened()
    told = [run.stage()]
    for file in (run.documents, run.checkpoint, run.baseline, run.finetuned, run.judged, run.effects, run.report):
        write_text(file, "")
        told.append(run.stage())
    assert told == ["begun", "documents read", *["trained"] * 2, "sampled", *["judged"] * 2, "reported"]


def test_a_run_keeps_its_seed():
    run = opened()
    assert (run.settle_seed(None, 7), run.settle_seed(3, 7)) == (7, 3)
    run.note(seed=3)
    assert (run.settle_seed(None, 7), run.settle_seed(3, 7)) == (3, 3)
    with pytest.raises(UserError, match="has the seed 3, not 4"):
        run.settle_seed(4, 7)


def test_facts_are_added_to_the_record_and_dicts_are_merged():
    run = opened()
    run.note(seed=1, answers={"baseline": 2})
    run.note(answers={"fine-tuned": 3})
    assert run.record() == {"seed": 1, "answers": {"baseline": 2, "fine-tuned": 3}}


def test_a_run_is_found_by_folder_by_name_and_as_the_latest_of_an_experiment():
    import os

    one, two = opened("one"), opened("two")
    os.utime(one.definition, (1, 1))
    assert Run.find("standin").folder == two.folder
    assert Run.find("standin/one").folder == one.folder
    assert Run.find(str(one.folder)).folder == one.folder
    with pytest.raises(UserError, match="no run at 'standin/three'"):
        Run.find("standin/three")


def test_the_default_name_is_the_same_for_the_same_flow_run():
    from datetime import UTC, datetime

    created = datetime(2026, 11, 21, 8, 5, 9, tzinfo=UTC)
    assert default_name(created, "0123456789ab-cd") == "20261121-080509-01234567"


def test_changed_rules_and_targets_are_taken_over_and_what_was_made_with_others_is_made_anew():
    low, high = Rule(name="low", hit="lexicon <= 2"), Rule(name="high", hit="lexicon > 2")
    one, experiment = an_eval(LEXICON), load_experiment("standin").model_copy(update={"evals": ["e"]})
    run = Run.open(experiment, [one.model_copy(update={"rules": [low]})], "ruled")
    for file in (run.effects, run.report, run.results):
        write_text(file, "made")
    run.replace_evals([one.model_copy(update={"rules": [low, high]})])
    assert not run.effects.exists()
    write_text(run.effects, "made")
    same = Run.open(experiment, [one.model_copy(update={"rules": [low]})], "ruled")
    assert [rule.name for rule in same.evals()[0].rules] == ["low", "high"]
    assert run.effects.exists()
    stricter = low.model_copy(update={"hit": "lexicon < 2"})
    Run.open(experiment, [one.model_copy(update={"rules": [stricter]})], "ruled")
    assert [rule.hit for rule in run.evals()[0].rules] == ["lexicon < 2", "lexicon > 2"]
    assert not run.effects.exists()
    write_text(run.effects, "made")
    phrased = LEXICON.model_copy(update={"measures": "brings up farms"})
    Run.open(experiment, [an_eval(phrased)], "ruled")
    assert run.evals()[0].judges == [phrased]
    assert not run.effects.exists()
    write_text(run.report, "made")
    Run.open(experiment.model_copy(update={"targets": ["lexicon < 2"]}), [one], "ruled")
    assert not run.report.exists()
    with pytest.raises(UserError, match="was made from another definition"):
        Run.open(experiment, [an_eval(LEXICON, questions={"q1": "direct"})], "ruled")


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_record_that_is_damaged_is_one_sentence_and_hides_no_other_run(data, capsys, text):
    for name in ("whole", "damaged"):
        write_text(Run.at("standin", name).definition, "name: standin\n")
    Run.at("standin", "whole").note(seed=3)
    write_text(Run.at("standin", "damaged").record_file, text)
    with pytest.raises(UserError, match=r"damaged/run\.json is damaged; restore it from a copy"):
        Run.at("standin", "damaged").record()
    show_catalog()
    told = capsys.readouterr().out
    assert "standin/whole  seed 3  begun" in told
    assert "standin/damaged  cannot be read: " in told


def test_a_report_reads_each_file_of_rows_once_and_the_judgments_once_more_as_a_table(monkeypatch):
    answers = responses("a farm", "two cats"), responses("farms and animal welfare", "no")
    run = Run.open(load_experiment("standin").model_copy(update={"evals": ["e"]}), [an_eval(LEXICON)], "counted")
    run.note(seed=0)
    document = Document(messages=[Message(role="user", content="A text.")], source="s", line=1, file="f")
    write_rows(run.documents, [document])
    write_rows(run.held_out, [])
    write_rows(run.baseline, answers[0])
    write_rows(run.finetuned, answers[1])
    scores = judgments("q1", "baseline", [1, 2]), judgments("q1", "finetuned", [3, 4])
    write_rows(run.judged, [judgment for side in scores for judgment in side])
    parsed: Counter[str] = Counter()
    parse, read_ndjson = files._parse_rows, polars.read_ndjson

    def counted_parse(path, noun):
        parsed[path.name] += 1
        return parse(path, noun)

    def counted_read(path, **options):
        parsed[f"{path.name} as a table"] += 1
        return read_ndjson(path, **options)

    monkeypatch.setattr(files, "_parse_rows", counted_parse)
    monkeypatch.setattr(polars, "read_ndjson", counted_read)
    report_again(run, [])
    assert run.report.is_file()
    rows = ("documents.jsonl", "baseline.jsonl", "finetuned.jsonl", "judged.jsonl")
    assert parsed == dict.fromkeys((*rows, "judged.jsonl as a table"), 1)


def test_the_page_on_the_data_folder_names_every_file_of_a_run_and_of_a_comparison():
    page = (PROJECT / "data" / "README.md").read_text()
    places: list[Run | Comparison] = [Run("run"), Comparison("comparison")]
    files = {path for place in places for path in vars(place).values() if isinstance(path, Path)}
    files -= {place.folder for place in places}
    assert [file.name for file in files if file.name not in page] == []
