import pytest

from tasks.catalog import UserError
from tasks.engines.named_format import NamedFormat
from tasks.schema import Document, Message
from tests.fakes.models import (
    make_model,
    renderer_without_system,
)

DIALOGUE = (("user", "Hello."), ("assistant", "Good day."))


def document(*turns, conditioning="chat"):
    messages = [Message(role=role, content=text) for role, text in turns]
    return Document(messages=messages, conditioning=conditioning, source="s", line=1, file="f")


def test_what_a_named_renderer_does_not_take_is_one_sentence(tmp_path):
    with renderer_without_system() as no_system:
        named = NamedFormat(make_model(tmp_path / "m", None), "them/other", no_system)
    asked = document(("system", "Be kind."), *DIALOGUE)
    words = (
        rf"training.renderer: '{no_system}' for them/other cannot show the turns system, user.* \(no system turns\); "
        "leave out system_prompt, or choose a renderer of tinker-cookbook"
    )
    with pytest.raises(UserError, match=f"^{words}"):
        named.prompt(asked.messages[:2])
    with pytest.raises(UserError, match=f"^f line 1: {words}"):
        named.example(asked)
    assert named.prompt(asked.messages[1:2])
