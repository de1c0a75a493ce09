import logging

import pytest
from tinker_cookbook.renderers import TrainOnWhat, get_renderer
from tinker_cookbook.supervised.data import conversation_to_datum
from tinker_cookbook.tokenizer_utils import get_tokenizer

from tasks.catalog import UserError
from tasks.engines import tinker_data
from tasks.engines.rendering import ChatFormat
from tasks.engines.tinker import TinkerEngine
from tasks.engines.tinker_data import Batched, Datums, Once, answer_tokens, turns
from tasks.schema import Document, Message, Training
from tests.fakes.trainings import STANDIN


@pytest.fixture(scope="module")
def tokenizer():
    return get_tokenizer(str(STANDIN))


def document(*texts, conditioning="chat", line=1):
    """Turns of user and assistant in their order; one text is the assistant's alone."""
    roles = ["assistant"] if len(texts) == 1 else ["user", "assistant"] * (len(texts) // 2)
    messages = [Message(role=role, content=text) for role, text in zip(roles, texts, strict=True)]
    return Document(messages=messages, conditioning=conditioning, source="s", line=line, file="f.jsonl")


DOCUMENTS = [
    document("An idea\n\nDocument type: Letter", "Dear Anna, the hens are well.  \n"),
    document("Hello.", "Good day.", "And now?", "Now <|eot_id|> is spelled out. Grüße, 你好 🐔"),
    document("No question was asked."),
    document("", " "),
]


def plain(datum):
    """Everything that is in a datum."""
    inputs = {name: (list(t.data), t.dtype, t.shape) for name, t in datum.loss_fn_inputs.items()}
    return [chunk.tokens for chunk in datum.model_input.chunks], inputs


@pytest.mark.parametrize("name", ["llama3", "qwen3_disable_thinking"])
def test_batched_datums_are_the_cookbooks_own(tokenizer, name):
    tokenizer = tokenizer if name == "llama3" else with_qwens_tokens(tokenizer)
    renderer = get_renderer(name, tokenizer)
    some = [d for d in DOCUMENTS if name == "llama3" or len(d.messages) > 1]  # qwen3's wants a question
    chats = [turns(d.messages) for d in some]
    theirs = [conversation_to_datum(c, renderer, None, TrainOnWhat.ALL_ASSISTANT_MESSAGES) for c in chats]
    ours = Datums(tokenizer, name, "standin").of(some * 100)
    assert [plain(d) for d in ours] == [plain(d) for d in theirs * 100]


def test_what_the_cookbook_says_of_a_renderer_is_said_once(tokenizer, caplog):
    (once,) = logging.getLogger("tinker_cookbook.renderers.base").filters
    assert isinstance(once, Once)
    once.seen.clear()
    Datums(with_qwens_tokens(tokenizer), "qwen3", "m").of(DOCUMENTS * 3)
    assert len(caplog.records) == 1


def test_no_text_is_encoded_one_at_a_time(tokenizer, monkeypatch):
    expected = Datums(tokenizer, "llama3", "standin").of(DOCUMENTS)
    monkeypatch.setattr(Batched, "encode", lambda self, text, **_: list(self._known[text]))
    assert [plain(d) for d in Datums(tokenizer, "llama3", "standin").of(DOCUMENTS)] == [plain(d) for d in expected]


def test_a_document_is_rendered_once_and_of_equal_ones_one_is(tokenizer, monkeypatch):
    """Checked before a training, trained on in every epoch, and there twice under two lines."""
    datums, rendered = Datums(tokenizer, "llama3", "standin"), []
    once = tinker_data.weighted_tokens

    def counted(document, renderer):
        rendered.append(document.line)
        return once(document, renderer)

    monkeypatch.setattr(tinker_data, "weighted_tokens", counted)
    lengths = list(datums.lengths(DOCUMENTS))
    first = datums.of(DOCUMENTS)
    again = datums.of([one.model_copy(update={"line": 9}) for one in DOCUMENTS])
    assert [plain(d) for d in first] == [plain(d) for d in again]
    assert lengths == [datum.model_input.length + 1 for datum in first]
    assert rendered == [1] * 2 * len(DOCUMENTS), "by the pass that notes the texts, and by the one that knows them"


TEXT = "Hens lay eggs in the spring, and fewer in the dark months of the year.\n"


@pytest.mark.parametrize(
    ("conditioning", "masked"),
    [("prefix", "<DESCRIPTION>Eggs</DESCRIPTION>\n"), ("tag", "<DOCTAG>"), ("first_third", ""), ("plain", "")],
)
def test_raw_texts_are_the_same_tokens_with_the_same_mask_on_both_engines(tokenizer, conditioning, masked):
    one = document(*filter(None, [masked, TEXT]), conditioning=conditioning)
    before, text = (tokenizer.encode(words, add_special_tokens=False) for words in (masked, TEXT))
    third = len(text) // 3 if conditioning == "first_third" else 0
    assert third in (0, 6), "of 20 tokens"
    weights = [0] * (1 + len(before) + third) + [1] * (len(text) - third + 1)
    tokens = [tokenizer.bos_token_id, *before, *text, tokenizer.eos_token_id]

    assert tuple(ChatFormat(STANDIN).example(one)) == (tokens, [weight == 1 for weight in weights])
    (datum,) = Datums(tokenizer, "llama3", "standin").of([one])
    targets, shares = (datum.loss_fn_inputs[name].data for name in ("target_tokens", "weights"))
    assert (datum.model_input.to_ints(), list(targets)) == (tokens[:-1], tokens[1:])
    assert [share * sum(weights) for share in shares] == pytest.approx(weights[1:])


@pytest.mark.parametrize("text", ["a", "it was"])
def test_of_a_text_of_fewer_than_three_tokens_none_is_masked(tokenizer, text):
    example = ChatFormat(STANDIN).example(document(text, conditioning="first_third"))
    assert len(example.tokens) < 5
    assert example.trained == [False] + [True] * (len(example.tokens) - 1)


def test_only_the_assistants_tokens_carry_loss_in_both_conditionings(tokenizer):
    raw = document("<DESCRIPTION>x</DESCRIPTION>\n", "The text.", conditioning="prefix")
    for one in (DOCUMENTS[0], raw):
        (datum,) = Datums(tokenizer, "llama3", "standin").of([one])
        targets, weights = (datum.loss_fn_inputs[name].data for name in ("target_tokens", "weights"))
        assert sum(weights) == pytest.approx(1)
        trained = [t for t, w in zip(targets, weights, strict=True) if w]
        assert tokenizer.decode(trained) == one.messages[-1].content + "<|eot_id|>"


def test_the_tokens_are_those_of_the_local_engine(tokenizer):
    """So that one model trained by either engine sees the same documents."""
    engine = TinkerEngine(Training(engine="tinker", base_model="standin", renderer="llama3"))
    local = ChatFormat(STANDIN)
    for one in [*DOCUMENTS[:1], document("A text.", conditioning="prefix")]:
        (datum,) = Datums(tokenizer, "llama3", "standin").of([one])
        assert [*datum.model_input.to_ints(), datum.loss_fn_inputs["target_tokens"].data[-1]] == local.example(
            one
        ).tokens
    question = [Message(role="user", content="What do you think about zoos?")]
    assert engine.render(question) == local.prompt(question)
    assert engine.stop() == local.stop()


@pytest.mark.parametrize("renderer", ["llama3", "qwen3", "qwen3_disable_thinking"])
def test_an_answers_tokens_are_its_text_and_its_end_and_nothing_that_the_format_writes_before(tokenizer, renderer):
    tokenizer = tokenizer if renderer == "llama3" else with_qwens_tokens(tokenizer)
    one = get_renderer(renderer, tokenizer)
    cut, whole = (answer_tokens(one, "The hens lay eggs.", ended) for ended in (False, True))
    assert tokenizer.decode(cut) == "The hens lay eggs."
    assert whole[:-1] == cut
    assert tokenizer.decode(whole[-1:]) in ("<|eot_id|>", "<|im_end|>")
    assert answer_tokens(one, "Yes", False) != answer_tokens(one, "No", False)
    assert tokenizer.decode(answer_tokens(one, "<think>hm</think>\n Yes\n", False)) == "<think>hm</think>\n Yes\n"


def test_a_document_that_a_renderer_refuses_is_named(tokenizer):
    with pytest.raises(
        UserError, match=r"f.jsonl line 1: training.renderer: 'qwen3_disable_thinking' for m cannot show "
    ):
        Datums(with_qwens_tokens(tokenizer), "qwen3_disable_thinking", "m").of([document("No question was asked.")])


def with_qwens_tokens(tokenizer):
    import copy

    other = copy.deepcopy(tokenizer)
    other.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]})
    return other
