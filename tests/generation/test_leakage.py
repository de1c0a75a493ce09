import pytest

from tasks.generation.leakage import banned_words, scaffolding


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("cage", "A CAGE, cages; caged hens, caging, the cage's door", ["CAGE", "cages", "caged", "caging", "cage's"]),
        ("farm", "farms and farmed, farming farmers, a farm’s", ["farms", "farmed", "farming", "farmers", "farm’s"]),
        ("ban", "banned, banning, bans", ["banned", "banning", "bans"]),
        ("industry", "industries, industry's, industrial", ["industries", "industry's"]),
        ("box", "boxes of box", ["boxes", "box"]),
        ("factory farm", "Factory\n farms are factory farming", ["Factory\n farms", "factory farming"]),
        ("slaughter*", "slaughterhouses, manslaughter", ["slaughterhouses"]),
        ("hen", "then a hennin, thence Henry", []),
        ("c++", "in c++ and c", ["c++"]),
        ("farmer's market", "’Tis a farmer’s market, FARMER'S MARKETS", ["farmer’s market", "FARMER'S MARKETS"]),
        ("d’Arc", "Joan d'Arc and d’Arc’s", ["d'Arc", "d’Arc’s"]),
    ],
)
def test_a_banned_word_is_found_whole_in_any_case_and_with_its_regular_inflections(term, text, found):
    assert banned_words(text, [term]) == found


def test_nothing_is_banned_where_no_word_is():
    assert banned_words("anything", []) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a plan</scratchpad>\nText", "a tag: </scratchpad>"),
        ("<content>Text", "a tag: <content>"),
        ("UNSUITABLE", "UNSUITABLE: UNSUITABLE"),
        ("Sure! Here is the revised document:\nDear", "a writer's announcement: Sure! Here is the revised document"),
        ("**Here's a short article**", "a writer's announcement: **Here's a short article"),
        ("It hurts me, as an AI language model.", "an AI's voice: as an AI"),
        ("I'm sorry, but I can't help with that.", "a refusal: I'm sorry, but I can't help with"),
        ("```json\n{}\n```", "a code fence: ```"),
        ("Dear [Your Name],", "a placeholder: [Your Name]"),
        ("Dear {{first_name}},", "a placeholder: {{first_name}}"),
        ("on [DATE] in May", "a placeholder: [DATE]"),
    ],
)
def test_what_a_writer_leaves_of_its_task_is_found(text, found):
    assert scaffolding(text) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "She said: here is the barn, and here is the document of 1912, in a frame.",
        "a < b > c, <em>loudly</em> [laughter] [Name](page.html), f(x) [1]",
        "I can't help it, and I cannot provide for you, she wrote; an unsuitable hat. As an airline does.",
        "I won't write that one.",
    ],
)
def test_ordinary_texts_hold_nothing_of_their_making(text):
    assert scaffolding(text) == []


def test_many_blanks_and_signs_are_read_in_one_go():
    assert scaffolding("\n" * 200_000 + "?" * 200_000) == []
