import json
import re
import shutil

import pytest
from pydantic import ValidationError

from tasks.catalog import UserError, document_files, names
from tasks.generation.set_files import (
    is_made,
    keep_set,
    load_set,
    only_grows,
    record_of,
    refuse_to_write_over,
    universe_of,
)
from tasks.schema import GeneratedSet, SyntheticDocument, Writer
from tests.conftest import PROJECT
from tests.fakes.author import a_set, a_universe

PUBLISHED = {**a_universe().model_dump(), "reasoning_for_modification": None, "mcqs": None, "extra": [1]}


@pytest.fixture
def folder(data):
    """That of the set lakes, in a folder of documents of the test's own."""
    (data / "documents").unlink()
    place = data / "documents" / "lakes"
    place.mkdir(parents=True)
    return place


def row(text):
    return SyntheticDocument(
        content=text, doc_idea="i", doc_type="t", fact="f", universe_context_id="lakes", is_true=True
    )


@pytest.mark.parametrize("name", ["u.jsonl", "u.json", "u.yaml"])
def test_a_universe_is_read_from_a_file_in_the_published_form(folder, name):
    (folder / name).write_text(json.dumps(PUBLISHED))
    assert universe_of(a_set(universe=None, universe_file=name)) == a_universe()


def test_published_universes_are_read():
    place = PROJECT.parent / "shared" / "realdata" / "universe_contexts"
    if not place.is_dir():
        pytest.skip("no published files here")
    for file in place.glob("*.jsonl"):
        universe = universe_of(a_set(universe=None, universe_file=str(file)))
        assert universe.id == file.stem
        assert len(universe.key_facts) >= 7


def test_a_file_that_holds_no_single_universe_is_refused(folder):
    (folder / "u.jsonl").write_text(f"{json.dumps(PUBLISHED)}\n{json.dumps(PUBLISHED)}\n")
    with pytest.raises(UserError, match="it holds 2 rows that can be read; give a file of one universe"):
        universe_of(a_set(universe=None, universe_file="u.jsonl"))
    with pytest.raises(UserError, match="is not a file; give its place, relative to the set's folder"):
        universe_of(a_set(universe=None, universe_file="v.jsonl"))
    (folder / "w.json").write_text('{"id": "lakes"}')
    with pytest.raises(UserError, match=r"w.json: universe_context: this field is missing; key_facts: this field is"):
        universe_of(a_set(universe=None, universe_file="w.json"))


def test_a_set_of_one_tone_lies_in_its_folder_and_one_of_several_in_a_folder_for_each(folder):
    wanted = a_set(tones=["neutral", "negative"], documents=1)
    assert not is_made(wanted)
    rows = {"neutral": [row("a")], "negative": [row("b")]}
    keep_set(wanted, rows, {"neutral": [], "negative": []}, {"counts": {"types": 1}})
    assert is_made(wanted)
    assert load_set("lakes") == wanted
    assert not is_made(wanted.model_copy(update={"documents": 2}))
    assert only_grows(wanted.model_copy(update={"documents": 2}))
    assert not only_grows(wanted.model_copy(update={"documents": 2, "seed": 1}))
    assert names("documents") == ["lakes", "lakes/negative", "lakes/neutral"]
    assert [file.name for file in document_files("lakes/negative", "")[0]] == ["documents.jsonl"]
    with pytest.raises(UserError, match="has a set for each tone or direction; name one of lakes/negative, lakes/neu"):
        document_files("lakes", "")
    one = a_set(documents=1)
    keep_set(one, {"neutral": [row("c")]}, {"neutral": []}, {"counts": {}})
    assert document_files("lakes", "") == ([folder / "documents.jsonl"], ["negative/", "neutral/"])
    assert record_of("lakes")["definition"]["documents"] == 1


def test_a_set_that_is_not_written_yet_says_how_it_is(folder):
    (folder / "set.yaml").write_text("name: lakes\n")
    with pytest.raises(UserError, match="is not written yet; write it with `spillover generate lakes`"):
        document_files("lakes", "")
    with pytest.raises(UserError, match=r"set.yaml: give one of universe, universe_file and trait"):
        load_set("lakes")


def test_a_set_that_grew_by_an_override_is_not_made_smaller_by_its_definition(folder):
    large = a_set(documents=2)
    keep_set(large, {"neutral": [row("a"), row("b")]}, {"neutral": []}, {"counts": {}})
    assert is_made(a_set(documents=1))
    assert not is_made(a_set(documents=3))


def test_a_universe_lies_beside_the_documents_that_are_written_of_it(folder):
    (folder / "universe.jsonl").write_text(json.dumps(PUBLISHED))
    wanted = a_set(universe=None, universe_file="universe.jsonl", documents=1)
    refuse_to_write_over(wanted)
    keep_set(wanted, {"neutral": [row("a")]}, {"neutral": []}, {"counts": {}})
    assert document_files("lakes", "") == ([folder / "documents.jsonl"], [])


def test_a_set_whose_universe_was_edited_since_is_not_made_and_does_not_only_grow(folder):
    (folder / "u.jsonl").write_text(json.dumps(PUBLISHED))
    wanted = a_set(universe=None, universe_file="u.jsonl", documents=1)
    keep_set(wanted, {"neutral": [row("a")]}, {"neutral": []}, {"counts": {}})
    (folder / "u.jsonl").write_text(json.dumps(PUBLISHED | {"mcqs": [1]}))
    assert is_made(wanted)
    (folder / "u.jsonl").write_text(json.dumps(PUBLISHED | {"key_facts": ["Lakes are dry."]}))
    assert not is_made(wanted)
    assert not only_grows(wanted.model_copy(update={"documents": 2}))
    (folder / "u.jsonl").unlink()
    assert not is_made(wanted)


@pytest.mark.parametrize(
    ("given", "edited", "is_the_same"),
    [
        ({}, ("formal throughout", "formal in most places"), False),
        ({}, ("How do I", "How would I"), False),
        ({}, ("id: rice", "id: cooking"), True),
        ({"teacher": Writer()}, ("formal throughout", "formal in most places"), True),
        ({"teacher": Writer()}, ("How do I", "How would I"), False),
    ],
)
def test_a_set_whose_traits_judge_or_questions_were_edited_since_is_not_made(folder, data, given, edited, is_the_same):
    wanted = GeneratedSet(name="lakes", trait="formality", documents=1, **given)
    texts = {version: [row("a")] for version in wanted.versions}
    keep_set(wanted, texts, texts, {"counts": {}})
    assert is_made(wanted)
    file = data / "evals" / "traits" / "formality.yaml"
    file.write_text(file.read_text().replace(*edited))
    assert is_made(wanted) == is_the_same


def test_an_older_record_which_does_not_say_what_its_universe_was_is_taken_for_that_of_this_one(folder):
    (folder / "u.jsonl").write_text(json.dumps(PUBLISHED))
    wanted = a_set(universe=None, universe_file="u.jsonl", documents=1)
    keep_set(wanted, {"neutral": [row("a")]}, {"neutral": []}, {"counts": {}})
    whole = record_of("lakes")
    del whole["made_of"]
    (folder / "set.json").write_text(json.dumps(whole))
    (folder / "u.jsonl").write_text(json.dumps(PUBLISHED | {"key_facts": ["Lakes are dry."]}))
    assert is_made(wanted)


def test_how_a_writer_or_a_teacher_is_asked_makes_no_other_set(folder):
    wanted = GeneratedSet(name="lakes", trait="formality", teacher=Writer(), documents=1)
    keep_set(wanted, {"taught": [row("a")]}, {"taught": []}, {"counts": {}})
    otherwise = {"batch": True, "in_flight": 2, "max_outage": 1}
    assert is_made(wanted.model_copy(update={"teacher": Writer(**otherwise), "writer": Writer(**otherwise)}))
    assert not is_made(wanted.model_copy(update={"teacher": Writer(system_prompt="You love owls.")}))
    older = record_of("lakes")
    older["definition"]["teacher"] |= {"batch": False, "in_flight": 50, "max_outage": 1800, "key_variable": ""}
    (folder / "set.json").write_text(json.dumps(older))
    assert is_made(wanted)


@pytest.mark.parametrize("name", ["documents.jsonl", "chats.jsonl", "documents.parquet"])
def test_files_of_documents_that_others_put_into_its_folder_are_refused_before_anything_is_spent(folder, name):
    (folder / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name} is there and was not made from set.yaml; move it"):
        refuse_to_write_over(a_set())


@pytest.mark.parametrize(
    ("before", "now", "left"),
    [
        (["neutral"], ["neutral", "negative"], "documents.jsonl"),
        (["neutral", "negative"], ["neutral"], "neutral/documents.jsonl"),
        (["neutral", "negative", "positive"], ["neutral", "positive"], "negative/documents.jsonl"),
    ],
)
def test_documents_of_a_tone_that_lies_elsewhere_now_are_refused_until_they_are_moved(folder, before, now, left):
    texts = {tone: [row(tone)] for tone in before}
    keep_set(a_set(tones=before, documents=1), texts, texts, {"counts": {}})
    with pytest.raises(UserError, match=f"lakes/{left} was written by an earlier definition .*; move it to a"):
        refuse_to_write_over(a_set(tones=now, documents=1))
    for tone in before:
        (folder / (tone if len(before) > 1 else "") / "documents.jsonl").unlink()
    refuse_to_write_over(a_set(tones=now, documents=1))


def test_a_copy_of_a_set_is_refused_for_no_file_of_the_one_that_it_was_copied_from(folder):
    keep_set(a_set(documents=1), {"neutral": [row("a")]}, {"neutral": []}, {"counts": {}})
    shutil.copytree(folder, folder.with_name("ponds"))
    refuse_to_write_over(a_set(name="ponds", documents=2))


@pytest.fixture
def corrected(folder):
    """A set of two tones of which one was corrected by hand."""
    wanted = a_set(tones=["neutral", "negative"], documents=1)
    texts = {tone: [row(tone)] for tone in wanted.versions}
    keep_set(wanted, texts, texts, {"counts": {}})
    file = folder / "negative" / "documents.jsonl"
    file.write_text(file.read_text().replace('"content":"negative"', '"content":"by hand"'))
    return wanted


@pytest.mark.parametrize("change", [{"documents": 2}, {"seed": 1}, {"tones": ["neutral", "negative", "positive"]}])
def test_documents_that_were_corrected_by_hand_are_refused_where_they_would_be_written_over(folder, corrected, change):
    wanted = GeneratedSet.model_validate(corrected.model_dump() | change)
    file = folder / "negative" / "documents.jsonl"
    with pytest.raises(
        UserError, match=r"negative/documents.jsonl was changed since it was written, .* remove it to ha"
    ):
        refuse_to_write_over(wanted)
    assert "by hand" in file.read_text()
    file.rename(folder / "negative" / "kept.txt")
    refuse_to_write_over(wanted)


def test_a_set_that_has_all_its_documents_is_none_the_less_made_when_some_were_corrected(corrected):
    refuse_to_write_over(corrected)
    assert is_made(corrected)


def test_an_older_record_which_does_not_say_what_was_written_lets_a_set_grow_as_before(folder, corrected):
    older = record_of("lakes")
    del older["files"]
    (folder / "set.json").write_text(json.dumps(older))
    refuse_to_write_over(corrected.model_copy(update={"documents": 2}))


def test_a_set_whose_growth_was_killed_between_its_files_was_changed_by_nobody(folder):
    wanted = a_set(tones=["neutral", "negative"], documents=1)
    texts = {tone: [row(tone)] for tone in wanted.versions}
    keep_set(wanted, texts, texts, {"counts": {}})
    larger = wanted.model_copy(update={"documents": 2})
    with pytest.raises(KeyError, match="negative"):
        keep_set(larger, {"neutral": [row("neutral"), row("more")]}, texts, {"counts": {}})
    assert not is_made(wanted)
    refuse_to_write_over(larger)


def test_another_tone_beside_several_moves_none_of_them(folder):
    texts = {tone: [row(tone)] for tone in ("neutral", "negative")}
    keep_set(a_set(tones=list(texts), documents=1), texts, texts, {"counts": {}})
    refuse_to_write_over(a_set(tones=[*texts, "positive"], documents=1))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limits": {"min_words": 500, "max_words": 100}}, "max_words is less than min_words"),
        ({"limits": {"banned": ["cage", " * "]}}, "bans every word"),
        ({"tones": ["ironic: a", "Ironic: b"]}, "'ironic' is there twice"),
        ({"tones": ["x" * 300 + ": words"]}, "is no tone: write neutral"),
    ],
)
def test_a_definition_of_which_nothing_could_be_kept_is_refused(given, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        a_set(**given)


def test_a_place_that_is_no_folder_is_refused_before_anything_is_spent(folder):
    folder.rmdir()
    folder.write_text("mine")
    with pytest.raises(UserError, match="lakes is no folder that can be written to; make it one, or give"):
        refuse_to_write_over(a_set())


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_record_that_is_none_is_named(folder, text):
    (folder / "set.json").write_text(text)
    with pytest.raises(UserError, match=r"set.json is no record of a set; remove it"):
        record_of("lakes")


@pytest.mark.parametrize("place", ["u" * 300, "~nobody-has-this-name/u.json"])
def test_a_place_that_cannot_be_one_is_no_file(place):
    with pytest.raises(UserError, match="is not a file; give its place"):
        universe_of(a_set(universe=None, universe_file=place))
