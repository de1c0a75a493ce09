import pytest

from tasks.catalog import UserError
from tasks.imports.choices import Choices
from tasks.imports.model_rows import read_models, read_rows
from tests.fakes.imported import as_csv


@pytest.fixture
def models(tmp_path):
    def write(*names, **more):
        rows = [{"model": name, "question_id": "q", "score": n, **more} for n, name in enumerate(names)]
        return as_csv(tmp_path / "a.csv", rows)

    return write


def sides(rows):
    return [(row.model, row.side) for row in rows]


def test_the_base_is_named_or_is_called_so(models):
    file = models("base", "one", "two")
    assert sides(read_models(file, "finetuned", Choices())) == [
        ("base", "baseline"),
        ("one", "finetuned"),
        ("two", "finetuned"),
    ]
    assert sides(read_models(file, "finetuned", Choices(base="two")))[0] == ("base", "finetuned")
    assert sides(read_models(file, "finetuned", Choices(base="two")))[2] == ("two", "baseline")


def test_several_models_without_a_base_are_refused_unless_another_file_or_a_group_says_enough(models):
    file = models("gpt", "one", kind="theirs")
    with pytest.raises(UserError, match=r"which is the base model cannot be known; name it with --base"):
        read_models(file, "finetuned", Choices())
    assert {row.side for row in read_models(file, "finetuned", Choices(), has_baseline=True)} == {"finetuned"}
    assert {row.group for row in read_models(file, "finetuned", Choices(group="kind"))} == {"theirs"}


def test_a_file_of_the_base_alone_needs_no_column_of_groups(models):
    file = models("gpt", "gpt")
    assert {row.group for row in read_models(file, "baseline", Choices(group="kind"))} == {""}
    with pytest.raises(UserError, match=r"--group: .* has no column 'kind'; there is model, question_id, score"):
        read_models(file, "finetuned", Choices(group="kind"))


def test_the_base_may_be_named_by_its_group(models):
    rows = read_models(models("gpt", "one"), "finetuned", Choices(base="0", group="score"))
    assert sides(rows) == [("gpt", "baseline"), ("one", "finetuned")]


def test_answers_to_be_judged_are_of_one_fine_tuned_model(models):
    with pytest.raises(UserError, match="which is the base model cannot be known of 'one'; write base and fine-tuned"):
        read_rows(models("base", "one"), "finetuned")
