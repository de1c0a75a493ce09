"""Results that others published, in three shapes, as a study: the matrix is that of the same runs by import."""

from pathlib import Path

import numpy
import polars
import pytest

from flows.cli.published_study import study_of_results
from tasks.catalog import UserError
from tasks.imports.choices import NO_CHOICES, Choices, parse_pairs, parse_scales
from tasks.runs import Comparison, Run
from tests.fakes.imported import as_csv, as_json

MODELS = {"base": 0.0, "formal": 25.0, "casual": -20.0}
QUESTIONS = [f"What of {n}?" for n in range(6)]
SCALE = parse_scales("0-100")


def scores(model):
    """Formality and humour of four answers to each question."""
    random = numpy.random.default_rng(len(model))
    for question in QUESTIONS:
        for _ in range(4):
            formality = int(numpy.clip(random.normal(50 + MODELS[model], 8), 0, 100))
            yield {
                "question": question,
                "formality": formality,
                "humour": int(numpy.clip(random.normal(40, 8), 0, 100)),
            }


def one_file(place):
    """With a column of models, which are called checkpoints, and questions that are called scenarios."""
    rows = [{"checkpoint": model, "scenario": row.pop("question"), **row} for model in MODELS for row in scores(model)]
    file = as_csv(place / "all.csv", rows)
    return str(file), Choices(columns=parse_pairs("model=checkpoint,question=scenario", "--columns"), scales=SCALE)


def a_file_for_each(place):
    """One of them is the base's."""
    for model in MODELS:
        as_csv(place / f"{model}.csv", list(scores(model)))
    return str(place / "*.csv"), Choices(scales=SCALE)


def nested(place):
    """JSON, with the scores in an object of their own."""
    rows = [
        {"model": model, "question": row.pop("question"), "response": "Hm.", "scores": row}
        for model in MODELS
        for row in scores(model)
    ]
    return str(as_json(place / "all.json", rows)), Choices(scales=SCALE)


@pytest.mark.parametrize("write", [one_file, a_file_for_each, nested])
def test_files_in_three_shapes_give_the_matrix_of_the_same_runs(tmp_path, data, write):
    folder = tmp_path / "given"
    folder.mkdir()
    place, choices = write(folder)
    study_of_results(place, "published", choices, trained="formal=formality,casual=-formality")
    table = polars.read_csv(Comparison("published").folder / "matrix.csv")
    fields = {(row["label"], row["column"]): row for row in table.to_dicts()}
    assert set(fields) == {(model, measure) for model in ("formal", "casual") for measure in ("formality", "humour")}
    for model, sign in (("formal", 1), ("casual", -1)):
        target = fields[model, "formality"]
        expected = [numpy.mean([row["formality"] for row in scores(name)]) for name in (model, "base")]
        assert target["difference"] == pytest.approx(expected[0] - expected[1])
        assert target["direction"] == sign
        assert target["ci_low_new_questions"] < target["difference"] < target["ci_high_new_questions"]
        off = fields[model, "humour"]
        assert off["spill"] == pytest.approx(off["in_sds"] / abs(target["in_sds"]))


def test_runs_that_were_imported_are_a_study_by_a_pattern(tmp_path, data):
    place, choices = nested(tmp_path)
    study_of_results(place, "published", choices)
    before = polars.read_csv(Comparison("published").folder / "matrix.csv")
    study_of_results("published/*", "again")
    after = polars.read_csv(Comparison("again").folder / "matrix.csv")
    assert after["label"].unique().sort().to_list() == ["published/casual", "published/formal"]
    assert after["difference"].sort().equals(before["difference"].sort())
    assert len(Run.find_all("published/*")) == 2


def test_a_file_of_means_makes_a_matrix_without_any_run(tmp_path, data):
    rows = [{"model": model, "trait": "formality", "mean": 50 + by, "n": 40, "sd": 9} for model, by in MODELS.items()]
    study_of_results(str(as_csv(tmp_path / "means.csv", rows)), trained="formal=formality")
    page = Comparison("means").page.read_text()
    assert "all answers alike" in page
    assert "Moved in what they were trained on: formal (formality +2.78 SD)." in page
    assert not (data / "results").exists()


def test_what_was_trained_is_read_before_a_run_is_written(tmp_path, data):
    place, choices = nested(tmp_path)
    with pytest.raises(UserError, match="--trained: "):
        study_of_results(place, "published", choices, trained="formal")
    assert not (data / "results").exists()


def test_options_of_files_are_refused_for_runs(data):
    with pytest.raises(UserError, match="no file fits it, and of runs there is nothing to choose"):
        study_of_results("published/*", choices=Choices(base="llama"))
    with pytest.raises(UserError, match="no run fits 'published/"):
        study_of_results("published/*", choices=NO_CHOICES)


def test_a_file_that_is_not_there_is_named(data):
    with pytest.raises(UserError, match=r"'nowhere\.csv' is not a file"):
        study_of_results("nowhere.csv")


def files(folder, **models):
    """A file for each model, whose answers are those of another of MODELS."""
    folder.mkdir(exist_ok=True)
    for stem, model in models.items():
        as_csv(folder / f"{stem}.csv", list(scores(model)))
    return str(folder / "*.csv")


def differences(name):
    rows = polars.read_csv(Comparison(name).folder / "matrix.csv").to_dicts()
    return {row["label"]: row["difference"] for row in rows if row["column"] == "formality"}


def test_of_the_files_of_a_folder_that_called_untuned_is_the_base_and_never_that_called_finetuned(tmp_path, data):
    place = files(tmp_path / "g", finetuned="formal", untuned="base")
    study_of_results(place, "published", Choices(scales=SCALE))
    assert differences("published").keys() == {"finetuned"}
    assert differences("published")["finetuned"] > 10


def test_two_files_that_are_called_as_the_base_are_refused(tmp_path, data):
    place = files(tmp_path / "g", base="base", untuned="casual", formal="formal")
    with pytest.raises(UserError, match=r"base\.csv and .*untuned\.csv are both called as the base model"):
        study_of_results(place, "published", Choices(scales=SCALE))


def test_the_bases_file_is_no_fine_tune_however_its_place_is_written(tmp_path, data, monkeypatch):
    place = files(tmp_path / "g", llama="base", formal="formal")
    monkeypatch.chdir(tmp_path / "g")
    study_of_results(place, "published", Choices(scales=SCALE), baseline=Path("llama.csv"))
    assert differences("published").keys() == {"formal"}
    with pytest.raises(UserError, match=r"the base model's file, and there is none of a fine-tune"):
        study_of_results("llama.csv", "alone", Choices(scales=SCALE), baseline=Path("llama.csv"))


def test_a_bases_file_with_several_models_needs_the_name_of_the_base(tmp_path, data):
    given = as_csv(tmp_path / "formal.csv", list(scores("formal")))
    rows = [{"model": name, **row} for name, of in (("llama", "base"), ("other", "casual")) for row in scores(of)]
    bases = as_csv(tmp_path / "bases.csv", rows)
    study_of_results(str(given), "published", Choices(scales=SCALE, base="llama"), baseline=bases)
    means = [numpy.mean([row["formality"] for row in scores(model)]) for model in ("formal", "base")]
    assert [*differences("published").values()] == [pytest.approx(means[0] - means[1])]
    with pytest.raises(UserError, match=r"it has 'llama', 'other' in the column model; say with --base"):
        study_of_results(str(given), "again", Choices(scales=SCALE), baseline=bases)


def test_of_a_file_of_means_each_column_that_is_not_read_is_named(tmp_path, data, capsys):
    rows = [
        {"model": model, "formality": 50 + by, "formality_std_dev": 9, "formality_ci_low": 40, "seed": 3, "n": 40}
        for model, by in MODELS.items()
    ]
    study_of_results(str(as_csv(tmp_path / "means.csv", rows)), trained="formal=formality")
    said = " ".join(capsys.readouterr().out.split())
    for column in ("formality_ci_low", "seed"):
        assert f"Not carried over: the column {column}: by its name it is no mean, n, SD or SE" in said
    table = polars.read_csv(Comparison("means").folder / "matrix.csv")
    assert table["column"].unique().to_list() == ["formality"]
    assert table["ci_low_fixed_questions"].null_count() == 0
