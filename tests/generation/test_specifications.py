from collections import Counter

import pytest

from tasks.catalog import UserError
from tasks.generation.specifications import AT_ONCE, SPARE_ROUNDS, Specifications, fill_lists
from tasks.generation.writer import Reply, Request
from tests.fakes.author import Author, a_set, a_universe


def asks(lists):
    """An `ask` that gives one list after another, and remembers the requests."""
    replies, seen = iter(lists), []

    async def ask(requests):
        seen.extend(requests)
        return [Reply("\n".join(f"- {entry}" for entry in next(replies)), "complete") for _ in requests]

    return ask, seen


def plain(known, count, repeat):
    return Request(f"{count} more", " ".join(known), "types", repeat)


async def test_a_list_is_asked_for_until_it_has_enough_that_differ_and_told_what_it_has():
    ask, seen = asks([["a", "b", "A"], ["B", "c", "d", "e"]])
    assert await fill_lists([plain], 4, ask, Counter()) == [["a", "b", "c", "d"]]
    assert [(request.system, request.user, request.repeat) for request in seen] == [
        ("4 more", "", 0),
        ("2 more", "a b", 1),
    ]


async def test_a_list_that_does_not_get_longer_is_given_up_after_a_fixed_number_of_rounds():
    ask, seen = asks([["a"]] * 100)
    assert await fill_lists([plain], 2 * AT_ONCE, ask, Counter()) == [["a"]]
    assert len(seen) == 2 + SPARE_ROUNDS


async def test_unsuitable_ends_a_list_and_is_counted_and_within_a_list_it_is_no_entry():
    ask, seen = asks([["UNSUITABLE", "Nobody would write it."], ["a", "UNSUITABLE", "b"]])
    counts = Counter[str]()
    assert await fill_lists([plain, plain], 2, ask, counts) == [[], ["a", "b"]]
    assert counts["lists unsuitable"] == 1
    assert len(seen) == 2


async def test_a_reply_that_could_not_be_read_is_counted_and_asked_for_in_the_next_round():
    replies = [Reply("", "unreadable"), Reply("- a", "complete")]

    async def ask(requests):
        return [replies.pop(0) for _ in requests]

    counts = Counter[str]()
    assert await fill_lists([plain], 1, ask, counts) == [["a"]]
    assert counts["lists unreadable"] == 1


async def made(author, **given):
    wanted = a_set(**{"types_per_fact": 3, "ideas_per_type": 2, **given})
    specifications = Specifications(wanted, a_universe(), author.ask, Counter())
    await specifications.choose_types()
    return specifications


async def test_facts_and_kinds_take_turns_and_ideas_are_asked_for_as_they_come_up():
    author = Author()
    specifications = await made(author)
    some = await specifications.between(0, 3)
    assert [(one.fact, one.doc_type) for one in some] == [
        (a_universe().key_facts[0], "kind 0"),
        (a_universe().key_facts[1], "kind 0"),
        (a_universe().key_facts[0], "kind 1"),
    ]
    assert sum("<ideas>" in request.user for request in author.asked) == 3
    assert (await specifications.between(0, 30))[:3] == some
    assert sum("<ideas>" in request.user for request in author.asked) == 6


async def test_every_idea_comes_once_in_a_turn_and_again_in_the_next():
    specifications = await made(Author(unsuitable={"kind 1"}))
    some = await specifications.between(0, 16)
    first, second = some[:8], some[8:]
    assert len({one[1:4] for one in first}) == 8
    assert [one[1:4] for one in first] == [one[1:4] for one in second]
    assert [one.turn for one in some] == [0] * 8 + [1] * 8
    assert [one.number for one in some] == list(range(16))
    assert specifications.counts == {"types": 6, "ideas": 8, "lists unsuitable": 2}


async def test_a_universe_of_which_nothing_can_be_written_is_one_sentence():
    specifications = await made(Author(unsuitable={"kind 0", "kind 1", "kind 2"}))
    with pytest.raises(UserError, match="claude-haiku-5-5 has no idea of a document for any fact of lakes; see to"):
        await specifications.between(0, 1)
