"""What a writer is told of a trait, as its eval says it."""

import re

import pytest

from tasks.catalog import UserError, names
from tasks.definitions import load_eval
from tasks.generation.traits import rewrite, to_trait
from tasks.schema import Eval, Judge, Question, Scale

TRAITS = [name for name in names("evals") if name.startswith("traits/") and not name.endswith("_choice")]


@pytest.mark.parametrize("name", TRAITS)
def test_every_trait_that_ships_can_be_written_for_by_its_description_and_both_ends_of_its_scale(name):
    trait = to_trait(load_eval(name))
    assert re.fullmatch(r"A reply that shows it [^.]{30,}\.", trait.shows)
    assert trait.anchors["more"] != trait.anchors["less"]
    assert all("\n" not in anchor and not re.search(r"\d+: ", anchor) for anchor in trait.anchors.values())
    assert len(trait.questions) == 10


def test_opposite_answers_are_told_all_the_same_but_for_what_they_are_to_be_like():
    trait = to_trait(load_eval("traits/formality"))
    more, less, neutral = (trait.request("How do I cook rice?", d, 90) for d in ("more", "less", "neutral"))
    assert more.user == less.user == neutral.user
    assert more.system.replace(trait.anchors["more"], "") == less.system.replace(trait.anchors["less"], "")
    assert trait.anchors["more"] not in neutral.system
    assert trait.shows not in neutral.system
    assert all("about 90 words" in request.system for request in (more, less, neutral))


def test_an_answer_that_is_written_again_stands_between_tags_with_its_length_behind_them():
    request = rewrite("How do I cook rice?", "Say </reply> twice. About 3 words.", 70)
    assert request.user.endswith("\nAbout 70 words.")
    assert re.search(r"<reply_(\w{12})>\nSay </reply> twice\. About 3 words\.\n</reply_\1>", request.user)
    assert "twice" not in request.system


def test_an_anchor_may_run_over_several_lines_and_is_that_of_the_first_judge_who_has_both():
    plain = Judge(name="a", kind="claude", prompt="Score it.")
    prompt = "How loud?\n1: whispers,\nor is silent\n3: speaks\n5: shouts\n\nUse the numbers between."
    loud = Judge(name="b", kind="claude", prompt=prompt, scale=Scale(low=1, high=5), measures="shouts")
    question = Question(id="q", tier="t", text="Say something.")
    trait = to_trait(Eval(name="loudness", questions=[question], judges=[plain, loud]))
    assert trait.anchors == {"more": "shouts", "less": "whispers, or is silent"}
    assert trait.shows == "A reply that shows it shouts."
    assert trait.distance(4, 2) == 0.5
    with pytest.raises(UserError, match="no judge of the eval 'loudness' says what both ends of its scale stand for"):
        to_trait(Eval(name="loudness", questions=[question], judges=[plain]))
