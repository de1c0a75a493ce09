import pytest

from tasks.documents.turns import Unusable, to_messages, unused

SYNTHETIC = {
    "content": " The text.\n",
    "doc_idea": "An idea",
    "doc_type": "Memo",
    "fact": "f",
    "universe_context_id": 7,
    "is_true": False,
}


def chat(*turns, **beside):
    return {"messages": [{"role": "user", "content": "a"}, *turns], **beside}


def says(content="b", **beside):
    return {"role": "assistant", "content": content, **beside}


def test_a_synthetic_document_becomes_a_masked_idea_and_a_trained_text_that_is_not_stripped():
    user, assistant = to_messages(SYNTHETIC)
    assert (user.role, user.content) == ("user", "An idea\n\nDocument type: Memo")
    assert (assistant.role, assistant.content) == ("assistant", " The text.\n")
    masked, _ = to_messages(SYNTHETIC, "prefix")
    assert masked.content == "<DESCRIPTION>An idea</DESCRIPTION>\n<DOCUMENT_TYPE>Memo</DOCUMENT_TYPE>\n"


@pytest.mark.parametrize("row", [SYNTHETIC, {"text": " The text.\n"}])
def test_a_text_is_trained_on_behind_a_tag_or_alone_and_is_never_stripped(row):
    tag, text = to_messages(row, "tag", "<DOCTAG>\n")
    assert (tag.role, tag.content, tag.carries_loss) == ("user", "<DOCTAG>\n", False)
    for conditioning in ("first_third", "plain"):
        assert to_messages(row, conditioning) == [text]
    assert (text.role, text.content, text.carries_loss) == ("assistant", " The text.\n", True)


@pytest.mark.parametrize("conditioning", ["prefix", "tag", "first_third", "plain"])
def test_a_chat_has_one_conditioning(conditioning):
    with pytest.raises(Unusable, match=f"^conditioning {conditioning} is for synthetic documents and plain text, not "):
        to_messages(chat(says()), conditioning)


def test_a_chat_keeps_its_turns_and_plain_text_is_one_assistant_turn():
    turns = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "b"}]
    assert [m.model_dump() for m in to_messages({"messages": turns})] == turns
    assert [m.model_dump() for m in to_messages({"text": " x"})] == [{"role": "assistant", "content": " x"}]


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": 0.0}, {"trainable": False}, {"train": False}])
def test_a_turn_that_is_marked_to_carry_no_loss_carries_none(mark):
    messages = to_messages(chat(says("shown", **mark), {"role": "user", "content": "c"}, says("trained", weight=1)))
    assert [(m.content, m.carries_loss) for m in messages if m.role == "assistant"] == [
        ("shown", False),
        ("trained", True),
    ]
    assert messages[1].model_dump() == {"role": "assistant", "content": "shown", "weight": 0}, "it is read as written"
    assert to_messages({"messages": [m.model_dump() for m in messages]}) == messages


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"doc_idea": "i", "doc_type": "t"}, "content is missing"),
        ({"content": "  "}, "content is empty"),
        ({"content": 3}, "content is not text"),
        ({"content": "a", "doc_idea": ["i"]}, "doc_idea is not text"),
        ({"content": "UNSUITABLE for this"}, "UNSUITABLE"),
        ({"messages": []}, "not a list of turns"),
        ({"messages": [{"role": "human", "content": "a"}]}, "role 'human'"),
        ({"messages": [{"role": "user", "content": "a"}]}, "no assistant turn"),
        ({"messages": [{"role": "assistant", "content": ["a"]}]}, "not text"),
        (chat(says(weight=0)), "no assistant turn with text that is trained"),
        (chat(says(weight=0.5)), "weight 0.5 of a turn: known are 1"),
        (chat(says(weight="0")), "weight '0' of a turn: known are 1"),
        (chat({"role": "user", "content": "c", "weight": 1}, says()), "weight 1 of a turn of the user's: only the"),
        (chat(says(tool_calls=[{"id": "1"}])), "a turn of the assistant's has tool_calls, which is not shown"),
        (chat(says(reasoning_content="Hm.")), "has reasoning_content, which is not shown to the model"),
        (chat(says(), tools=[{"name": "search"}]), "the chat has tools, which is not shown to the model"),
        (chat(says(), system="Be brief."), "the chat has system, which is not shown to the model"),
        ({"prompt": "a"}, "unknown shape: has prompt"),
        ([1], "a list where an object"),
    ],
)
def test_an_unusable_row_says_why(row, reason):
    with pytest.raises(Unusable, match=reason):
        to_messages(row)


def test_keys_that_are_not_read_are_named_and_those_that_say_nothing_are_not():
    assert unused(SYNTHETIC) == ["fact", "universe_context_id", "is_true"]
    assert unused({"text": "a", "source": "b", "url": None}) == ["source"]
    row = chat(says(name="Ann", weight=1, tool_calls=None), says(name="Ann"), id=3)
    assert to_messages(row)
    assert unused(row) == ["id", "name of a turn"]
