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


def test_a_file_given_as_the_bases_with_several_models_is_read_of_the_one_that_is_named(models):
    file = models("llama", "mistral", "llama")
    rows = read_models(file, "baseline", Choices(base="llama"))
    assert [(row.model, row.side, row.cell("score")) for row in rows] == [
        ("llama", "baseline", "0"),
        ("llama", "baseline", "2"),
    ]
    with pytest.raises(UserError, match=r"given as the base model's, it has 'llama', 'mistral' .*; say with --base"):
        read_models(file, "baseline", Choices())
    with pytest.raises(UserError, match=r"--base: .* has no model 'gpt'; there is llama, mistral"):
        read_models(file, "baseline", Choices(base="gpt"))


def test_a_file_given_as_the_bases_may_call_its_one_model_anything_but_fine_tuned(models):
    for name in ("llama", "Untuned", ""):
        assert sides(read_models(models(name), "baseline", Choices())) == [(name, "baseline")]
    with pytest.raises(UserError, match=r"given as the base model's, it has 'fine-tuned'"):
        read_models(models("fine-tuned"), "baseline", Choices())
    assert sides(read_models(models("fine-tuned"), "baseline", Choices(base="fine-tuned")))[0][1] == "baseline"


def test_with_a_base_that_is_named_a_file_of_another_model_is_not_taken_as_its(models):
    with pytest.raises(UserError, match=r"--base: .* has no model 'llama'; there is mistral"):
        read_models(models("mistral"), "baseline", Choices(base="llama"))
    for name in ("base", ""):
        assert sides(read_models(models(name), "baseline", Choices(base="llama"))) == [(name, "baseline")]


@pytest.mark.parametrize("base", ["", "base"])
def test_a_base_that_has_a_file_of_its_own_is_refused_beside_the_fine_tuned_models(models, base):
    with pytest.raises(UserError, match=r"line 3: an answer of the base model \('base'\), which has a file of its own"):
        read_models(models("one", "base"), "finetuned", Choices(base=base), has_baseline=True)


def test_two_models_that_are_each_called_as_the_base_are_not_taken_for_one(models):
    file = models("base", "untuned", "finetuned")
    for read in (lambda: read_models(file, "finetuned", Choices()), lambda: read_rows(file, "finetuned")):
        with pytest.raises(UserError, match=r"'base' and 'untuned', of which each may be the base model"):
            read()
    assert len(read_models(file, "finetuned", Choices(base="untuned"))) == 3
