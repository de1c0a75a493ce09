import pytest
from transformers import AutoTokenizer

from tasks.catalog import UserError, model_folder
from tasks.engines.rendering import ChatFormat, total_tokens
from tasks.schema import Document, Message, Training


@pytest.fixture
def fmt():
    return ChatFormat(model_folder("standin"))


def document(*turns, conditioning="chat"):
    messages = [Message(role=role, content=text) for role, text in turns]
    return Document(messages=messages, conditioning=conditioning, source="s", line=1, file="f")


def words(fmt, tokens):
    return [fmt._framing.decode([t], skip_special_tokens=False) for t in tokens]


def test_only_the_assistants_text_and_the_end_of_its_turn_carry_loss(fmt):
    example = fmt.example(
        document(
            ("system", "Be kind."),
            ("user", "Hello."),
            ("assistant", "Good day."),
            ("user", "And?"),
            ("assistant", "Bye."),
        )
    )
    trained = "".join(w for w, ours in zip(words(fmt, example.tokens), example.trained, strict=True) if ours)
    masked = "".join(w for w, ours in zip(words(fmt, example.tokens), example.trained, strict=True) if not ours)
    assert trained == "Good day.<|eot_id|>Bye.<|eot_id|>"
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    assert masked == (
        "<|begin_of_text|>"
        + head.format("system")
        + "Be kind.<|eot_id|>"
        + head.format("user")
        + "Hello.<|eot_id|>"
        + head.format("assistant")
        + head.format("user")
        + "And?<|eot_id|>"
        + head.format("assistant")
    )


def test_the_mask_is_right_token_by_token(fmt):
    example = fmt.example(document(("user", "Hi"), ("assistant", "Yes")))
    yes, end = fmt._text_tokens("Yes"), fmt._frame_tokens("<|eot_id|>")
    prompt = fmt.prompt([Message(role="user", content="Hi")])
    assert example.tokens == prompt + yes + end
    assert example.trained == [False] * len(prompt) + [True] * (len(yes) + 1)


def test_texts_are_never_stripped_and_a_special_token_spelt_out_stays_text(fmt):
    example = fmt.example(document(("user", " a "), ("assistant", " \n<|eot_id|> b\n\n")))
    end = fmt._framing.token_to_id("<|eot_id|>")
    trained = [t for t, ours in zip(example.tokens, example.trained, strict=True) if ours]
    assert fmt._framing.decode(trained[:-1], skip_special_tokens=False) == " \n<|eot_id|> b\n\n"
    assert example.tokens.count(end) == 2


def test_tokens_equal_those_of_the_models_own_tokenizer_and_template(fmt):
    tokenizer = AutoTokenizer.from_pretrained(fmt.folder)
    turns = [{"role": "user", "content": "What is a bridge?"}, {"role": "assistant", "content": "A way over a river."}]
    whole = tokenizer.apply_chat_template(turns, return_dict=False)
    assert fmt.example(document(*[(t["role"], t["content"]) for t in turns])).tokens == list(whole)
    asked = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    assert fmt.prompt([Message(**turns[0])]) == list(asked)


def test_raw_text_behind_a_masked_prefix_has_no_chat_format(fmt):
    example = fmt.example(
        document(("user", "<DESCRIPTION>i</DESCRIPTION>\n"), ("assistant", "The text."), conditioning="prefix")
    )
    assert (
        fmt._framing.decode(example.tokens, skip_special_tokens=False)
        == "<|begin_of_text|><DESCRIPTION>i</DESCRIPTION>\nThe text.<|eot_id|>"
    )
    trained = [t for t, ours in zip(example.tokens, example.trained, strict=True) if ours]
    assert fmt._framing.decode(trained, skip_special_tokens=False) == "The text.<|eot_id|>"


def test_an_answer_ends_at_the_end_of_turn(fmt):
    assert fmt.stop() == [fmt._framing.token_to_id("<|eot_id|>")]


def test_the_stand_ins_format_is_that_of_the_cookbooks_llama3_renderer(fmt):
    from tinker_cookbook.renderers import TrainOnWhat, get_renderer

    renderer = get_renderer("llama3", AutoTokenizer.from_pretrained(fmt.folder))
    turns = [{"role": "user", "content": "What is a bridge?"}, {"role": "assistant", "content": "A way over a river."}]
    assert renderer.build_generation_prompt(turns[:1]).to_ints() == fmt.prompt([Message(**turns[0])])
    tokens, weights = renderer.build_supervised_example(turns, train_on_what=TrainOnWhat.ALL_ASSISTANT_MESSAGES)
    example = fmt.example(document(*[(t["role"], t["content"]) for t in turns]))
    assert tokens.to_ints() == example.tokens
    assert [bool(w) for w in weights.tolist()] == example.trained
    assert renderer.get_stop_sequences() == fmt.stop()


def test_a_document_longer_than_the_settings_or_the_model_take_is_named():
    document = Document(messages=[Message(role="assistant", content="a")], source="s", line=7, file="f.jsonl")
    assert total_tokens([document, document], [7, 8], Training(max_length=8)) == 15
    with pytest.raises(UserError, match=r"f.jsonl line 7: 9 tokens are over training.max_length=8; raise it or"):
        total_tokens([document], [9], Training(max_length=8))
    with pytest.raises(UserError, match=r"2049 tokens are over the 2048 tokens that standin reads; shorten"):
        total_tokens([document], [2049], Training(max_length=8192))
