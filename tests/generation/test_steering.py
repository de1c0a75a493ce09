import re
from collections import Counter

from tasks.generation.steering import FAMILY_NAMES, FIRST_NAMES, LENGTHS, SEED_WORDS, steer
from tasks.generation.writer import as_material


def test_a_number_draws_the_same_in_every_run_and_another_seed_or_number_something_else():
    assert steer(0, 17, []) == steer(0, 17, [])
    assert len({steer(seed, number, []).words for seed in (0, 1) for number in range(50)}) == 100


def test_what_is_to_be_avoided_is_said_to_drafts_and_rewrites_alike():
    steering = steer(0, 1, ["the name Chen", "the opening 'in the quiet town'"])
    frequent = as_material(frequent="the name Chen; the opening 'in the quiet town'")
    assert steering.to_avoid == f"Too frequent by now, to be avoided:\n{frequent}"
    assert steering.words.endswith(steering.to_avoid)
    assert steer(0, 1, []).to_avoid == ""


def test_lengths_lie_within_the_limits_of_the_set():
    def lengths(least, most):
        said = "".join(steer(0, n, [], least, most).words for n in range(200))
        return {int(found) for found in re.findall(r"about (\d+) words", said)}

    assert lengths(0, 0) == set(LENGTHS)
    assert lengths(200, 400) == {250, 350}
    assert lengths(800, 1000) == {900}
    assert lengths(800, 0) == {1200}
    assert lengths(0, 100) == {50}


def test_no_name_is_drawn_more_often_than_a_set_may_have_it():
    said = Counter[str]()
    for number in range(2_000):
        (people,) = re.findall(r"take them from these: (.*?)\. Let", steer(0, number, []).words)
        said.update({word for person in people.split(", ") for word in person.split()})
    assert max(said.values()) / 2_000 < 0.035
    assert len(said) == len(FIRST_NAMES) + len(FAMILY_NAMES)


def test_no_word_stands_twice_in_a_list():
    for words in (FIRST_NAMES, FAMILY_NAMES, SEED_WORDS):
        assert len(set(words)) == len(words)
