from datetime import date

import pytest
from transformers import AutoTokenizer

from tasks.catalog import UserError
from tasks.engines.named_format import NamedFormat
from tasks.engines.rendering import ChatFormat
from tasks.schema import Document, Message
from tests.fakes.models import (
    DATED,
    LINES,
    NO_SYSTEM,
    ROLES_IN_TURN,
    SYSTEM_LAST,
    THINKING,
    THINKING_TOKENS,
    make_model,
)
from tests.fakes.trainings import STANDIN


@pytest.fixture
def fmt():
    return ChatFormat(STANDIN)


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


DIALOGUE = (("user", "Hello."), ("assistant", "Good day."))


@pytest.mark.parametrize(
    ("template", "turns", "reason", "remedy"),
    [
        (NO_SYSTEM, (("system", "Be kind."), *DIALOGUE), "System role not supported", "leave out system_prompt, or "),
        (ROLES_IN_TURN, (("user", "a"), *DIALOGUE), "must alternate", "let user and assistant take turns, the user "),
        (SYSTEM_LAST, (("system", "Be kind."), *DIALOGUE), "another order", "leave out system_prompt, or "),
        ("{{ messages[0].content }}<|eot_id|>", DIALOGUE, "leaves one out", "choose a renderer"),
        ("{{ messages[0].content + 1 }}", DIALOGUE, "can only concatenate", "choose a renderer"),
        ("{% for %}", DIALOGUE, "Expected an expression", "choose a renderer"),
    ],
)
def test_turns_that_a_template_refuses_are_one_sentence_with_model_roles_and_remedy(
    tmp_path, template, turns, reason, remedy
):
    other = ChatFormat(make_model(tmp_path / "m", template), "them/other")
    roles = ", ".join(role for role, _ in turns)
    words = rf"f line 1: the chat template of them/other cannot show the turns {roles} \(.*{reason}.*\); {remedy}"
    with pytest.raises(UserError, match=words) as refused:
        other.example(document(*turns))
    assert str(refused.value).endswith("choose a renderer of tinker-cookbook (training.renderer)")
    if turns[:-1] != DIALOGUE[:1]:
        with pytest.raises(UserError, match=f"^the chat template of them/other cannot show the turns .*{reason}"):
            other.prompt([Message(role=role, content=text) for role, text in turns[:-1]])


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (None, "them/other has no chat template; use an instruct model, add chat_template.jinja to its folder, or"),
        (" \n", "them/other has an empty chat template; use an instruct model"),
        ([{"name": "default", "template": ""}], "them/other has an empty chat template; use an instruct model"),
        (
            [{"name": "rag", "template": "a"}, {"name": "tool_use", "template": "b"}],
            "them/other has the chat templates rag, tool_use and none that is called default; write the one that is",
        ),
        (LINES, r"template of them/other ends an assistant's turn with '\\n' and no special token, so nothing shows"),
    ],
)
def test_a_template_that_is_none_or_ends_no_turn_is_said(tmp_path, template, words):
    with pytest.raises(UserError, match=words):
        ChatFormat(make_model(tmp_path / "m", template), "them/other").stop()


def test_of_several_templates_the_default_one_is_used(tmp_path, fmt):
    own = fmt._config["chat_template"]
    several = [{"name": "tool_use", "template": LINES}, {"name": "default", "template": own}]
    other = ChatFormat(make_model(tmp_path / "m", several))
    message = [Message(role="user", content="Hello.")]
    assert (other.prompt(message), other.stop()) == (fmt.prompt(message), fmt.stop())


def test_a_line_end_before_the_special_token_ends_no_answer_and_is_trained(tmp_path, fmt):
    other = ChatFormat(
        make_model(tmp_path / "m", fmt._config["chat_template"].replace("'<|eot_id|>'", "'\\n<|eot_id|>'"))
    )
    assert other.stop() == fmt.stop()
    example = other.example(document(*DIALOGUE))
    trained = [token for token, ours in zip(example.tokens, example.trained, strict=True) if ours]
    assert other.show(trained) == "Good day.\n<|eot_id|>"


def test_a_token_that_ends_a_turn_need_not_be_marked_as_special(tmp_path):
    folder = make_model(
        tmp_path / "m", "{% for m in messages %}{{ m.role + m.content }}[/END]\n{% endfor %}", ("[/END]",)
    )
    other = ChatFormat(folder)
    assert other.show(sorted(set(other.stop()) - other.configured_ends())) == "[/END]"


def test_a_template_prints_the_date_that_it_is_told_in_prompts_and_in_documents(tmp_path, fmt):
    other = ChatFormat(make_model(tmp_path / "m", DATED), today=date(2031, 5, 7))
    assert (other.prints_date, fmt.prints_date) == (True, False)
    prompt, example = other.prompt([Message(role="user", content="a")]), other.example(document(*DIALOGUE))
    assert all(other.show(tokens).startswith("Today is 07 May 2031.") for tokens in (prompt, example.tokens))


def test_an_answer_that_is_trained_behind_another_frame_than_it_is_sampled_behind_is_said_with_the_fitting_renderer(
    tmp_path, fmt
):
    folder = make_model(tmp_path / "m", THINKING, THINKING_TOKENS)
    assert ChatFormat(folder, "them/other").warnings() == [
        r"them/other: '<think>\n\n</think>\n\n' stands before an answer in training and '' in sampling, so the model "
        "is not asked as it is trained; set training.renderer=qwen3_disable_thinking"
    ]
    fitting = NamedFormat(folder, "them/other", "qwen3_disable_thinking")
    assert fitting.warnings() == fmt.warnings() == []
    asked, trained = fitting.prompt([Message(role="user", content="Hello.")]), fitting.example(document(*DIALOGUE))
    assert trained.tokens[: len(asked)] == asked
    assert not fitting.prints_date


def test_where_no_renderer_fits_the_difference_is_still_said(tmp_path, fmt):
    template = fmt._config["chat_template"].replace("assistant<|end_header_id|>", "assistant<|end_header_id|>Well:")
    (warning,) = ChatFormat(make_model(tmp_path / "m", template), "them/other").warnings()
    assert warning.startswith(r"them/other: '\n\n' stands before an answer in training and 'Well:\n\n' in sampling")
    assert warning.endswith("choose a renderer of tinker-cookbook (training.renderer) under which both are the same")


def test_a_turn_of_weight_0_is_shown_and_not_trained_on_by_either_renderer(fmt):
    from tinker_cookbook.renderers import get_renderer

    from tasks.engines.tinker_data import weighted_tokens

    turns = [("user", "a"), ("assistant", "Shown."), ("user", "b"), ("assistant", "Trained.")]
    one = document(*turns)
    masked = one.model_copy(update={"messages": [m.model_copy(update={"weight": 0}) for m in one.messages[:2]]})
    masked.messages.extend(one.messages[2:])
    example = fmt.example(masked)
    assert example.tokens == fmt.example(one).tokens
    trained = [t for t, ours in zip(example.tokens, example.trained, strict=True) if ours]
    assert "".join(words(fmt, trained)) == "Trained.<|eot_id|>"
    tokens, weights = weighted_tokens(masked, get_renderer("llama3", AutoTokenizer.from_pretrained(fmt.folder)))
    assert tokens.to_ints() == example.tokens
    assert [bool(weight) for weight in weights.tolist()] == example.trained
