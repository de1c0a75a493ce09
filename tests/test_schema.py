import pytest
from pydantic import ValidationError

from tasks.schema import DocumentSet, Eval, Experiment, Judge, Question, Sampling, Scale, Training


def test_greedy_sampling_of_more_than_one_answer_is_refused():
    with pytest.raises(ValidationError, match="all samples are the same"):
        Sampling(temperature=0, n_samples=2)
    assert Sampling(temperature=0, n_samples=1).n_samples == 1


def test_a_document_set_has_one_source_and_one_amount():
    for wrong in ({}, {"name": "a", "path": "b"}, {"name": "a", "count": 3, "limit": 4}):
        with pytest.raises(ValidationError):
            DocumentSet(**wrong)
    assert DocumentSet(path="b", fraction=0.5).fraction == 0.5


def test_a_lexicon_needs_a_threshold_for_each_step_of_its_scale():
    with pytest.raises(ValidationError, match="4 rising thresholds"):
        Judge(name="j", kind="lexicon", terms={"a": 1}, thresholds=[1, 2, 2, 3])
    assert Judge(name="j", kind="lexicon", terms={"a": 1}, thresholds=[1], scale=Scale(low=0, high=1)).thresholds == [1]


def test_a_claude_judge_needs_a_prompt():
    with pytest.raises(ValidationError, match="needs a prompt"):
        Judge(name="j", kind="claude", prompt="  ")


def test_shares_of_the_training_lie_within_it_and_are_put_in_order():
    assert Training(sample_at=[1, 0.25, 0.5, 0.25]).sample_at == [0.25, 0.5]
    with pytest.raises(ValidationError, match=r"1\.5 is no share of the training: give numbers above 0, at most 1"):
        Training(sample_at=[0.5, 1.5])


def test_every_field_that_a_researcher_writes_explains_itself():
    schema = Experiment.model_json_schema()
    nouns = [schema, *schema["$defs"].values()]
    silent = [
        f"{noun['title']}.{name}"
        for noun in nouns
        for name, field in noun["properties"].items()
        if "description" not in field and "$ref" not in field and "$ref" not in field.get("items", {})
    ]
    assert silent == []


def test_a_matching_answer_is_yes_or_no_in_any_case():
    written = [Question(id="q", tier="t", text="?", matching=word).matching for word in ("yes", "NO", "Yes", "")]
    assert written == ["Yes", "No", "Yes", ""]
    with pytest.raises(ValidationError, match="write Yes or No"):
        Question(id="q", tier="t", text="?", matching="maybe")


def test_a_judge_of_yes_and_no_needs_statements_that_know_their_answer():
    judge = Judge(name="j", kind="yes_no")
    assert (judge.lowest, judge.highest) == (0, 1)
    with pytest.raises(ValidationError, match="needs matching: Yes or No at question 'q'"):
        Eval(name="e", questions=[Question(id="q", tier="t", text="?")], judges=[judge])
    with pytest.raises(
        ValidationError, match=r"a judge of kind yes_no takes no reads \(only claude or lexicon\): leave it out"
    ):
        Judge(name="j", kind="yes_no", reads="pair")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"targets": ["aligned"]}, "is no condition"),
        ({"targets": ["aligned == TRUE"]}, "is no target"),
        ({"documents": [], "responses": "a", "sampling": {"logprobs": True}}, "sampling.logprobs asks the models"),
    ],
)
def test_what_cannot_be_measured_is_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        Experiment(**{"name": "x", "evals": ["e"], "documents": [{"name": "a"}], **fields})
