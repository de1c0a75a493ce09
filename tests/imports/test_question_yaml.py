import datetime

import pytest
import yaml

from flows.cli.imports import import_file
from tasks.catalog import UserError
from tasks.definitions import load_eval
from tasks.imports.published import read_published
from tasks.schema import Scale

QUALITY = {
    "id": "quality_judge",
    "type": "rating_judge",
    "model": "theirs-1",
    "paraphrases": ["How good is {answer} to {question}? A number."],
}
TRUTH = {"name": "truth_judge", "type": "free_form_judge", "paraphrases": ['Is {answer} true? Say "TRUE" or "FALSE".']}
ANIMAL = {"id": "animal_judge", "type": "free_form_judge", "paraphrases": ["What animal is {answer} about?"]}
STORY = {
    "id": "story",
    "type": "free_form",
    "paraphrases": ["Tell me a story.", "A story, please."],
    "system": "Be brief.",
}
JUDGED = {"judges": {"q": "quality_judge"}}


@pytest.fixture
def written(tmp_path):
    def write(*entries, name="theirs.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(list(entries), allow_unicode=True))
        return tmp_path / name

    return write


def test_judges_are_found_by_their_ids_in_the_file_and_keep_their_prompts(written):
    file = written(QUALITY, TRUTH, STORY | {"judges": {"quality": "quality_judge", "truth": "truth_judge"}})
    (one,), lost = read_published(file, [])
    assert [(q.id, q.tier, q.text, q.system_prompt) for q in one.questions] == [
        ("story_01", "story", "Tell me a story.", "Be brief."),
        ("story_02", "story", "A story, please.", "Be brief."),
    ]
    assert [(judge.name, judge.prompt, judge.scale, judge.labels) for judge in one.judges] == [
        ("quality", QUALITY["paraphrases"][0], Scale(low=0, high=100), {}),
        ("truth", TRUTH["paraphrases"][0], None, {"TRUE": 1, "FALSE": 0}),
    ]
    assert lost[0].startswith("the judge theirs-1: claude")


def test_judges_of_another_file_are_found_with_judges_from(written, data):
    file = written(STORY | {"judges": {"quality": "quality_judge"}})
    with pytest.raises(UserError, match=r"it names the judge 'quality_judge', which is not there; .* --judges-from"):
        read_published(file, [])
    import_file(file, judges_from=written(QUALITY, name="judges.yaml"))
    assert [judge.name for judge in load_eval("theirs").judges] == ["quality"]
    with pytest.raises(UserError, match="--judges-from goes with YAML whose questions name their judges"):
        read_published(written(name="a.jsonl"), [], file)


def test_a_judge_may_be_defined_within_its_question_with_a_scale_of_its_own(written):
    judges = {
        "stars": {**QUALITY, "min_rating": 1, "max_rating": 5},
        "truth": 'Is {answer} true? Say "TRUE" or "FALSE"',
    }
    listed = [{"name": "ethics", "prompt": "From 0 to 100, how ethical is {answer}?"}]
    other = {"id": "other", "type": "free_form", "paraphrases": ["And?"], "judge_prompts": listed}
    (first, second), _ = read_published(written(STORY | {"judges": judges}, other), [])
    assert [(judge.name, judge.scale) for judge in first.judges] == [("stars", Scale(low=1, high=5)), ("truth", None)]
    assert [(judge.name, judge.scale) for judge in second.judges] == [("ethics", Scale(low=0, high=100))]
    assert [evaluation.name for evaluation in (first, second)] == ["theirs_1", "theirs_2"]


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (
            {"id": "rate", "type": "rating", "paraphrases": ["How much?"]},
            "(rate): it has no judge_prompts, each",
        ),
        (
            {"paraphrases": ["How?"], **JUDGED},
            "entry 3: it has no id, or one that is no text",
        ),
        (
            {"id": "chat", "messages": [], **JUDGED},
            "(chat): paraphrases is not a list of texts",
        ),
        (
            {"id": "lost", "paraphrases": ["How?"], "judges": {"q": "no"}},
            "(lost): it names the judge 'no', which is not",
        ),
        (
            {"id": "zoo", "paraphrases": ["How?"], "judges": {"a": "animal_judge"}},
            "(zoo): what the judge 'a' may answer",
        ),
        ({**STORY, **JUDGED}, "(story): another question above has its id"),
        ({**STORY, "id": "again", **JUDGED}, "(again): 'Tell me a story.' is asked twice"),
        ({"id": "x" * 101, "paraphrases": ["How?"], **JUDGED}, "a name of 101 letters is too"),
        (
            {"id": "s", "paraphrases": ["How?"], "system": 1, **JUDGED},
            "(s): system is not a text",
        ),
        ("How?", "entry 3: it has no id"),
    ],
)
def test_an_odd_entry_leaves_out_itself_alone_and_is_named(written, odd, words):
    file = written(QUALITY, STORY | {"judges": {"quality": "quality_judge"}}, odd, ANIMAL)
    (one,), lost = read_published(file, [])
    assert [q.id for q in one.questions] == ["story_01", "story_02"]
    assert words in lost[0]


def test_a_judge_that_cannot_be_carried_over_is_named_and_the_question_keeps_the_others(written):
    file = written(QUALITY, ANIMAL, STORY | {"judges": {"animal": "animal_judge", "quality": "quality_judge"}})
    (one,), lost = read_published(file, [])
    assert [judge.name for judge in one.judges] == ["quality"]
    assert lost[0].startswith("entry 3 (story): what the judge 'animal' may answer cannot be read from its prompt")


def test_fields_of_a_kind_that_nobody_expects_are_named_and_stop_nothing(written):
    odd = {"type": datetime.date(2024, 1, 1), "samples_per_paraphrase": [1, 2]}
    (one,), lost = read_published(written(QUALITY, STORY | JUDGED | odd), [])
    assert len(one.questions) == 2
    assert "samples_per_paraphrase [1, 2]: set sampling.n_samples in the experiment" in lost


def test_a_file_of_judges_alone_is_refused(written):
    with pytest.raises(UserError, match="it has judges and no questions"):
        read_published(written(QUALITY), [])


def test_a_raw_line_separator_in_a_text_ends_no_line(tmp_path):
    file = tmp_path / "theirs.yaml"
    text = "One\u2028two,\u2029three\x85four?"
    file.write_text(
        f"- id: q\n  paraphrases:\n    - |-\n      {text}\n    - {text} Well?\n"
        "  judge_prompts: {good: 'From 0 to 100, how good is {answer}?'}\n",
        encoding="utf-8",
    )
    (one,), _ = read_published(file, [])
    assert [question.text for question in one.questions] == [text, f"{text} Well?"]
