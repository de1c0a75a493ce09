import pytest

from tasks.catalog import UserError
from tasks.engines.examples import total_tokens
from tasks.schema import Document, Message, Training


def test_a_document_longer_than_the_settings_or_the_model_take_is_named():
    document = Document(messages=[Message(role="assistant", content="a")], source="s", line=7, file="f.jsonl")
    assert total_tokens([document, document], [7, 8], Training(max_length=8)) == 15
    with pytest.raises(UserError, match=r"f.jsonl line 7: 9 tokens are over training.max_length=8; raise it or"):
        total_tokens([document], [9], Training(max_length=8))
    with pytest.raises(UserError, match=r"2049 tokens are over the 2048 tokens that standin reads; shorten"):
        total_tokens([document], [2049], Training(max_length=8192))
