from datetime import date

import pytest

from tasks.catalog import validate
from tasks.judging.endings import Endings, announced_end
from tasks.judging.providers import endings
from tasks.schema import OPENAI, Judge
from tasks.strict_yaml import load
from tests.conftest import PROJECT
from tests.fakes.chat_api import ChatAPI
from tests.fakes.nouns import CLAUDE


def a_judge(model, base_url=OPENAI):
    return Judge(name="aligned", kind="chat", model=model, prompt="?", base_url=base_url)


def test_a_model_that_is_announced_to_end_is_told_with_its_day_and_what_follows_it():
    assert announced_end(a_judge("gpt-4o-2024-08-06"), date(2099, 1, 14)) == (
        "the judge 'aligned' asks gpt-4o-2024-08-06, which ends on 2099-01-14, and gpt-6-luna is recommended in its "
        "place: compare only what one and the same model has judged"
    )
    assert "which ended on 2026-06-15: compare" in announced_end(
        CLAUDE.model_copy(update={"model": "claude-sonnet-4-20250514"})
    )


def test_a_model_is_known_by_its_name_without_a_date_too():
    assert "which end" in announced_end(CLAUDE.model_copy(update={"model": "claude-sonnet-4-5"}))


def test_of_a_model_that_stays_and_of_the_same_name_at_another_server_nothing_is_said():
    assert announced_end(CLAUDE) == ""
    assert announced_end(a_judge("gpt-4o", "http://127.0.0.1:8000/v1")) == ""


def test_without_the_file_only_the_service_tells(data):
    (data / "models").unlink()
    assert announced_end(a_judge("gpt-4o")) == ""
    assert "which ended on 2020-01-01: compare" in announced_end(a_judge("gpt-4o"), date(2020, 1, 1))


async def test_a_file_that_is_wrong_is_one_warning_and_stops_nothing(data):
    (data / "models").unlink()
    (data / "models").mkdir()
    (data / "models" / "served.yaml").write_text("judges: [{service: claude, model: m, until: someday, source: s}]")
    (said,) = await endings([CLAUDE, CLAUDE.model_copy(update={"model": "other"})])
    assert "served.yaml: judges.0.until: " in said
    assert said.endswith("mend the file, or remove it: it only says which models are gone")
    assert "which ended on 2020-01-01: compare" in announced_end(CLAUDE, date(2020, 1, 1))


@pytest.mark.parametrize(
    ("ends", "said"), [("2099-01-14", ["ends on 2099-01-14"]), (None, []), ("soon", []), (7, []), ({"a": 1}, [])]
)
async def test_a_service_is_asked_once_whether_it_says_when_a_model_ends(ends, said):
    with ChatAPI(None, ends=ends) as api:
        judge = a_judge("m", f"{api.url}/v1")
        found = await endings([judge, judge.model_copy(update={"name": "other"}), CLAUDE])
    assert len(found) == len(said)
    assert all(words in sentence for words, sentence in zip(said, found, strict=True))


async def test_a_service_that_is_not_there_says_nothing_of_its_models():
    assert await endings([a_judge("m", "http://127.0.0.1:9/v1")]) == []


def test_every_line_of_the_projects_file_has_a_source_and_no_model_is_there_twice():
    known = validate(Endings, {"judges": lines()["judges"]}, "served.yaml").judges
    assert {ending.source for ending in known} <= lines()["sources"].keys()
    assert len({(ending.service, ending.model) for ending in known}) == len(known)


def lines():
    return load((PROJECT / "data" / "models" / "served.yaml").read_text())
