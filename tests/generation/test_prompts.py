"""Prompts of chats: many domains, no trait, nothing twice."""

import pytest

from tasks.generation.prompts import DOMAINS, Prompts, named
from tasks.generation.writer import Reply
from tasks.schema import GeneratedSet, SetLimits
from tests.fakes.chat_writer import ChatWriter


def prompts(asked=(), trait="formality", **fields):
    wanted = GeneratedSet(**{"name": "s", "trait": trait, "ideas_per_type": 4, **fields})
    return Prompts(wanted, trait, list(asked))


class Says(ChatWriter):
    """One text, whatever is asked."""

    def __init__(self, text):
        super().__init__()
        self.text = text

    def odd(self, request):
        return Reply(self.text, "complete")


def reasons(some):
    return [one.reason.partition(":")[0] for one in some.dropped]


async def test_prompts_come_from_many_domains_and_each_request_differs():
    writer, some = ChatWriter(), prompts(types_per_fact=12)
    found = await some.more(96, writer)
    assert len({prompt.domain for prompt in found}) == 12
    assert len(writer.store) == 24
    assert len({prompt.text for prompt in found}) == len(found)


async def test_what_is_asked_does_not_depend_on_the_trait():
    writer = ChatWriter()
    for trait in ("formality", "caution"):
        await prompts(trait=trait).more(40, writer)
    assert writer.new == 10
    assert not [request for request in writer.store if "formal" in repr(request) or "cauti" in repr(request)]


async def test_marks_of_a_list_are_no_part_of_a_prompt():
    text = '1. How do I boil an egg?\n\n- "Which bread keeps longest in summer?"\n* 3 cats and 2 dogs, who eats first?'
    found = await prompts().more(4, Says(text))
    assert [prompt.text for prompt in found] == [
        "How do I boil an egg?",
        "Which bread keeps longest in summer?",
        "3 cats and 2 dogs, who eats first?",
    ]


async def test_a_prompt_that_names_the_trait_is_an_evals_question_or_was_there_is_dropped_and_counted():
    lines = (
        "How formally should I write?",
        "How do I cook rice, please?",
        "What is a comet?",
        "what is a COMET",
        "Hello",
    )
    text = "\n".join((*lines, "Why is grey so dull?"))
    some = prompts(["How do I cook rice please"], limits=SetLimits(banned=["grey"]))
    found = await some.more(4, Says(text))
    assert [prompt.text for prompt in found] == ["What is a comet?"]
    assert reasons(some) == [
        "a prompt that names the trait",
        "a question of the trait's eval",
        "a prompt like an earlier one",
        "no prompt",
        "a prompt that names the trait",
    ]


async def test_a_request_that_brings_none_is_counted_with_its_domain():
    class Refuses(ChatWriter):
        def odd(self, request):
            return Reply("", "refused")

    some = prompts()
    assert await some.more(4, Refuses()) == []
    assert reasons(some) == ["prompts refused"]
    assert some.dropped[0].prompt in DOMAINS


@pytest.mark.parametrize(
    ("trait", "text", "word"),
    [
        ("caution", "Be cautious with it.", "cautious"),
        ("honesty", "An honest word about honey?", "honest"),
        ("honesty", "Which honey is best?", ""),
        ("formality", "A formula for paint?", ""),
        ("risk_appetite", "Is it risky to swim?", "risky"),
        ("humour", "Something humorous for a card?", "humorous"),
        ("politeness", "Who decides in politics?", ""),
    ],
)
def test_a_word_names_a_trait_by_the_beginning_that_they_share(trait, text, word):
    assert named(trait, text) == word


def test_domains_are_many_distinct_and_left_out_where_they_are_that_of_when():
    assert len(DOMAINS) == len(set(DOMAINS)) == 60
    assert "cooking and kitchens" not in prompts(when="cooking", types_per_fact=100).domains
    assert sorted(prompts(types_per_fact=100).domains) == sorted(DOMAINS)
