import re

import pytest
from pydantic import ValidationError

from tasks.schema import (
    DocumentSet,
    Eval,
    Experiment,
    Judge,
    Judging,
    Question,
    Rule,
    Sampling,
    Scale,
    Training,
    check_address,
)


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


@pytest.mark.parametrize(
    ("prompt", "reads", "remedy"),
    [
        ("How good is {answer} to {question}?", "pair", "make it reads: response, or leave them out"),
        ("How good is {answer}?", "pair", "make it reads: response, or leave them out"),
        ("How good is it as an answer to {question}?", "response", "write {answer} too, or leave {question} out"),
    ],
)
def test_places_that_would_not_be_filled_are_refused(prompt, reads, remedy):
    with pytest.raises(ValidationError, match=re.escape(remedy)) as mistake:
        Judge(name="good", kind="claude", prompt=prompt, reads=reads)
    assert "the prompt of the judge 'good'" in str(mistake.value)


def test_a_prompt_may_say_where_its_answer_stands_with_the_question_or_without_it():
    for prompt in ("How good is {answer} to {question}?", "How good is {answer}?", "How good? {Think}"):
        assert Judge(name="good", kind="claude", prompt=prompt).prompt == prompt


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
    assert (judge.scale_min, judge.scale_max) == (0, 1)
    with pytest.raises(ValidationError, match="needs matching: Yes or No at question 'q'"):
        Eval(name="e", questions=[Question(id="q", tier="t", text="?")], judges=[judge])
    with pytest.raises(
        ValidationError, match=r"a judge of kind yes_no takes no reads \(only claude, chat or lexicon\): leave it out"
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


QUESTION = Question(id="q", tier="t", text="?", matching="Yes")
JUDGES = [
    Judge(name="asked", kind="claude", prompt="p", temperature=0),
    Judge(name="counted", kind="lexicon", terms={"a": 1}, thresholds=[1, 2, 3, 4]),
    Judge(name="said", kind="yes_no"),
    Judge(name="imported", kind="imported", labels={"CODE": None}, scale=Scale(low=0, high=20_000)),
]
WRITTEN = [DocumentSet(name="a"), DocumentSet(path="b", weight=2), Training(), Sampling(), Judging(), QUESTION, Scale()]
WRITTEN += [*JUDGES, Rule(name="r", hit="asked < 3"), Eval(name="e", questions=[QUESTION], judges=JUDGES)]
WRITTEN += [Experiment(name="x", documents=[DocumentSet(name="a")], evals=["e"])]


@pytest.mark.parametrize("one", WRITTEN, ids=lambda one: type(one).__name__)
def test_what_is_written_down_and_read_again_is_the_same_to_the_letter(one):
    """An int where a float is meant would be equal and have another key."""
    whole, short = one.model_dump_json(), one.model_dump_json(exclude_defaults=True)
    assert repr(type(one).model_validate_json(whole)) == repr(one)
    assert repr(type(one).model_validate_json(short)) == repr(one)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://h/", "http://h"),
        ("https://h/api//", "https://h/api"),
        ("HTTPS://H.example:443/a/b", "HTTPS://H.example:443/a/b"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("http://127.0.0.1:4300", "http://127.0.0.1:4300"),
        ("http://h/v1beta", "http://h/v1beta"),
        ("http://h/at@home", "http://h/at@home"),
    ],
)
def test_an_address_with_and_without_a_slash_at_its_end_is_one(written, meant):
    assert check_address(written, "it", added="/v1/messages") == meant


@pytest.mark.parametrize(
    "wrong", ["/", "h", "h:80", "file:x", "ftp://h", "http:h", "http://", "http://:80", "http://h:0"]
)
@pytest.mark.parametrize("also", ["", " ", "?a=b", "#c", "\n", "\\"])
def test_what_is_no_address_is_refused_by_the_name_of_its_field(wrong, also):
    with pytest.raises(ValueError, match=r"ANTHROPIC_BASE_URL is no address: write http:// or https:// and a host"):
        check_address(wrong + also, "ANTHROPIC_BASE_URL")


def test_an_address_holds_no_secret_and_not_what_the_client_adds():
    for secret in ("http://me:word@h", "https://me@h/x"):
        with pytest.raises(ValueError, match="holds a user or a password: take it out") as refused:
            check_address(secret, "it")
        assert "word" not in str(refused.value).replace("password", "")
    assert check_address("http://h/v1", "it") == "http://h/v1"
    for ending in ("/v1", "/v1/", "/v1/messages"):
        with pytest.raises(ValueError, match=r"leave that out, the client adds /v1/messages"):
            check_address("http://h" + ending, "it", added="/v1/messages")
    assert Training(base_url="http://h/").base_url == Training(base_url="http://h").base_url
