import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from tinker_cookbook.renderers import TrainOnWhat, get_renderer
from tinker_cookbook.supervised.data import conversation_to_datum
from tinker_cookbook.tokenizer_utils import get_tokenizer

from tasks.catalog import UserError, model_folder
from tasks.engines.rendering import ChatFormat
from tasks.engines.tinker import TinkerEngine
from tasks.engines.tinker_data import Batched, Datums, answer_tokens, to_datum, turns
from tasks.engines.tinker_server import HOSTED
from tasks.engines.tinker_training import Folder, Pace
from tasks.schema import Document, Message, Sampling, Training
from tests.fakes.models import THINKING_TOKENS, make_model, renderer_without_system

TRAINING = Training(engine="tinker", base_model="standin", renderer="llama3", base_url="http://127.0.0.1:9")


@pytest.fixture(scope="module")
def tokenizer():
    return get_tokenizer(str(model_folder("standin").resolve()))


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


# ---- documents to datums


@pytest.mark.parametrize("name", ["llama3", "qwen3_disable_thinking"])
def test_batched_datums_are_the_cookbooks_own(tokenizer, name):
    tokenizer = tokenizer if name == "llama3" else with_qwens_tokens(tokenizer)
    renderer = get_renderer(name, tokenizer)
    some = [d for d in DOCUMENTS if name == "llama3" or len(d.messages) > 1]  # qwen3's wants a question
    chats = [turns(d.messages) for d in some]
    theirs = [conversation_to_datum(c, renderer, None, TrainOnWhat.ALL_ASSISTANT_MESSAGES) for c in chats]
    ours = list(Datums(tokenizer, name, "standin").stream(some * 100))
    assert [plain(d) for d in ours] == [plain(d) for d in theirs * 100]


def test_what_the_cookbook_says_of_a_renderer_is_said_once(tokenizer, caplog):
    logging.getLogger("tinker_cookbook.renderers.base").filters[0].seen.clear()
    Datums(with_qwens_tokens(tokenizer), "qwen3", "m").of(DOCUMENTS * 3)
    assert len(caplog.records) == 1


def test_no_text_is_encoded_one_at_a_time(tokenizer, monkeypatch):
    datums = Datums(tokenizer, "llama3", "standin")
    expected = datums.of(DOCUMENTS)
    monkeypatch.setattr(Batched, "encode", lambda self, text, **_: list(self._known[text]))
    assert [plain(d) for d in datums.of(DOCUMENTS)] == [plain(d) for d in expected]


def test_only_the_assistants_tokens_carry_loss_in_both_conditionings(tokenizer):
    renderer = get_renderer("llama3", tokenizer)
    raw = document("<DESCRIPTION>x</DESCRIPTION>\n", "The text.", conditioning="prefix")
    for one in (DOCUMENTS[0], raw):
        datum = to_datum(one, renderer)
        targets, weights = (datum.loss_fn_inputs[name].data for name in ("target_tokens", "weights"))
        assert sum(weights) == pytest.approx(1)
        trained = [t for t, w in zip(targets, weights, strict=True) if w]
        assert tokenizer.decode(trained) == one.messages[-1].content + "<|eot_id|>"


def test_the_tokens_are_those_of_the_local_engine(tokenizer):
    """So that one model trained by either engine sees the same documents."""
    engine, local = TinkerEngine(TRAINING), ChatFormat(model_folder("standin"))
    for one in [*DOCUMENTS[:1], document("A text.", conditioning="prefix")]:
        datum = to_datum(one, get_renderer("llama3", tokenizer))
        assert [*datum.model_input.to_ints(), datum.loss_fn_inputs["target_tokens"].data[-1]] == local.example(
            one
        ).tokens
    question = [Message(role="user", content="What do you think about zoos?")]
    assert engine.render(question) == local.prompt(question)
    assert engine.stop() == local.stop()


# ---- what is wrong, before anything is spent


def test_a_document_over_the_longest_length_is_named():
    engine = TinkerEngine(TRAINING.model_copy(update={"max_length": 40}))
    with pytest.raises(UserError, match=r"f.jsonl line 7: \d+ tokens are over training.max_length=40"):
        engine.check([document("Hello.", "Hello."), document("Hello.", "word " * 80, line=7)])
    assert TinkerEngine(TRAINING).check(DOCUMENTS) > 60


@pytest.mark.parametrize(
    ("key", "words"),
    [("", "no Tinker credentials; set TINKER_API_KEY"), ("sk-1", r"not a Tinker key \(they begin with tml-\)")],
)
async def test_missing_and_malformed_credentials_are_one_sentence(monkeypatch, tmp_path, key, words):
    monkeypatch.setenv("TINKER_API_KEY", key)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=words):
        await TinkerEngine(TRAINING).preflight()


async def test_a_server_that_is_down_is_one_sentence_at_once(monkeypatch):
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    with pytest.raises(UserError, match=r"no Tinker server at http://127.0.0.1:9 \(ConnectError\); start it"):
        await TinkerEngine(TRAINING).preflight()


def test_a_renderer_that_is_missing_or_does_not_fit_the_model_is_refused_with_the_one_that_does():
    message = [Message(role="user", content="Hello.")]
    llama = TRAINING.model_copy(update={"base_model": "meta-llama/Llama-3.3-70B-Instruct"})
    with pytest.raises(UserError, match=r"'qwen3' does not fit meta-llama/.*trained with llama3"):
        TinkerEngine(llama.model_copy(update={"renderer": "qwen3"})).render(message)
    with pytest.raises(UserError, match=r"needs the chat format's name; set training.renderer=llama3"):
        TinkerEngine(llama.model_copy(update={"renderer": ""})).render(message)


def test_a_checkpoint_that_is_no_tinker_path_is_refused():
    with pytest.raises(UserError, match="'data/checkpoints/x' is no Tinker path; give one that begins with tinker://"):
        TinkerEngine(TRAINING).adapted("data/checkpoints/x")


@pytest.fixture
def refusing():
    """A server that is healthy and takes no key."""

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self):
            healthy = self.path.endswith("healthz")
            body = b'{"status": "ok"}' if healthy else b'{"detail": "invalid API key"}'
            self.send_response(200 if healthy else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_a_key_that_the_server_refuses_is_one_sentence_and_is_not_repeated_in_it(monkeypatch, refusing):
    monkeypatch.setenv("TINKER_API_KEY", "tml-planted")
    started = time.monotonic()
    with pytest.raises(UserError, match=r"http://127.0.0.1:\d+ refuses TINKER_API_KEY: .*401") as refused:
        await TinkerEngine(TRAINING.model_copy(update={"base_url": refusing})).preflight()
    assert "tml-planted" not in str(refused.value)
    assert time.monotonic() - started < 10


def test_turns_that_a_renderer_does_not_take_are_one_sentence():
    with renderer_without_system() as renderer:
        engine = TinkerEngine(TRAINING.model_copy(update={"renderer": renderer}))
        asked = [Message(role="system", content="Be kind."), Message(role="user", content="Hello.")]
        words = r"'tests/no_system' for .*standin cannot show the turns system, user.* \(no system turns\); leave out"
        with pytest.raises(UserError, match=f"^training.renderer: {words}"):
            engine.render(asked)
        document = Document(messages=[*asked, Message(role="assistant", content="Hi.")], source="s", line=3, file="f")
        with pytest.raises(UserError, match=r"^f line 3: training.renderer: 'tests/no_system'"):
            engine.check([document])
        assert engine.render(asked[1:])


def test_a_document_that_a_renderer_refuses_is_named(tokenizer):
    with pytest.raises(
        UserError, match=r"f.jsonl line 1: training.renderer: 'qwen3_disable_thinking' for m cannot show "
    ):
        Datums(with_qwens_tokens(tokenizer), "qwen3_disable_thinking", "m").of([document("No question was asked.")])


def test_what_a_renderer_writes_before_an_answer_in_training_alone_is_said(tmp_path):
    folder = make_model(tmp_path / "m", None, (*THINKING_TOKENS, "<|begin_of_text|>"))
    training = TRAINING.model_copy(update={"base_model": str(folder), "renderer": "nemotron3"})
    (warning,) = TinkerEngine(training).warnings()
    assert r"'</think>' stands before an answer in training and '\n' in sampling" in warning
    assert warning.endswith("set training.renderer=nemotron3_disable_thinking")
    assert TinkerEngine(training.model_copy(update={"checkpoint": "tinker://r/w"})).warnings() == []
    assert TinkerEngine(TRAINING).warnings() == []


def test_a_model_that_the_cookbook_does_not_know_yet_is_trained_with_the_renderer_that_is_named():
    training = TRAINING.model_copy(update={"base_model": "Qwen/Qwen9-1T", "renderer": "qwen3"})
    assert TinkerEngine(training)._renderer_name == "qwen3"


def test_a_folders_identity_on_a_server_is_what_is_in_it(tmp_path):
    one, other = (make_model(tmp_path / place, "a") for place in ("one", "two"))
    engines = [TinkerEngine(TRAINING.model_copy(update={"base_model": str(folder)})) for folder in (one, other)]
    assert engines[0].untuned().identity == engines[1].untuned().identity
    assert engines[0].untuned().identity.startswith("http://127.0.0.1:9 ")
    (other / "model.safetensors").write_bytes(b"others")
    changed = TinkerEngine(TRAINING.model_copy(update={"base_model": str(other)})).untuned().identity
    assert changed != engines[0].untuned().identity


def test_the_date_that_a_renderer_prints_is_the_runs(tokenizer):
    engine = TinkerEngine(TRAINING.model_copy(update={"renderer": "gpt_oss_medium_reasoning"}), "2020-02-29")
    shown = tokenizer.decode(engine.render([Message(role="user", content="Hello.")]))
    assert "Current date: 2020-02-29" in shown
    assert engine.today == "2020-02-29"
    assert TinkerEngine(TRAINING.model_copy(update={"renderer": "gpt_oss_no_sysprompt"}), "2020-02-29").today == ""


async def test_a_warm_up_of_more_steps_than_there_are_is_refused_before_the_server_is_asked(tmp_path):
    engine = TinkerEngine(TRAINING.model_copy(update={"warmup": 2}))
    with pytest.raises(UserError, match=r"training.warmup: 2 steps, and 4 documents make 1 in all"):
        await engine.train(DOCUMENTS, [], 0, tmp_path, lambda *_: None)


def test_a_loss_that_is_no_number_ends_the_training_and_stays_out_of_the_curve(tmp_path):
    place = Folder(tmp_path)
    place.add_row({"step": 1, "loss": 2.0})
    for loss in (float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"at step 2 its loss is {loss}; lower training.learning_rate"):
            place.add_row({"step": 2, "loss": loss})
    assert place.curve() == [{"step": 1, "loss": 2.0}]


# ---- answers


def sampled(tokens, stop_reason):
    return SimpleNamespace(tokens=tokens, stop_reason=stop_reason)


def test_an_answer_is_complete_cut_off_or_outside_the_chat_format(tokenizer):
    engine, words = TinkerEngine(TRAINING), tokenizer.encode("Good day.", add_special_tokens=False)
    (end,) = engine.stop()
    assert engine._reply(0, sampled([*words, end], "stop")) == (0, "Good day.", len(words) + 1, "complete")
    assert engine._reply(1, sampled(words, "length")) == (1, "Good day.", len(words), "truncated")
    assert engine._reply(2, sampled(words, "stop")) == (2, "Good day.", len(words), "malformed")
    twice = engine._reply(3, sampled([*words, end, *words, end], "stop"))
    assert (twice.state, twice.text.count("Good day.")) == ("malformed", 2)


async def test_a_checkpoint_that_the_service_has_deleted_by_now_says_when_and_what_to_do():
    engine = TinkerEngine(TRAINING)
    gone = engine.adapted("tinker://r/sampler_weights/final").model_copy(
        update={"expires": "2026-01-01T00:00+00:00", "key": "k1"}
    )
    with pytest.raises(UserError, match=r"deleted tinker://r/sampler_weights/final on 2026-01-01.*data/checkpoints/k1"):
        await anext(engine.sample(gone, [], Sampling()))


# ---- what a training leaves, and what a kill leaves of it


def test_after_a_kill_the_curve_ends_with_the_last_state_and_no_half_line_is_left(tmp_path):
    curve = [{"step": 0, "held_out_loss": 2.0}, *({"step": n, "loss": 1.0, "tokens": 10} for n in range(1, 24))]
    text = "".join(json.dumps(row) + "\n" for row in curve)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 24, "lo')
    records = '{"name": "at 0.5", "batch": 13, "trained_share": 0.5, "sampler_path": "tinker://r/sample-000013"}\n'
    records += '{"name": "step-000020", "batch": 20, "state_path": "tinker://r/step-000020"}\n{"name": "st'
    (tmp_path / "checkpoints.jsonl").write_text(records)
    place = Folder(tmp_path)
    assert [row["step"] for row in place.curve()] == list(range(21))
    assert (place.steps_done, place.last.state_path) == (20, "tinker://r/step-000020")
    assert place.samplers() == {0.5: "tinker://r/sample-000013"}


def test_progress_tells_the_cost_of_all_tokens_where_the_price_is_known():
    pace = Pace(lambda tokens: tokens * 3e-6, 1_000_000)
    pace.tokens = 500_000
    assert pace.words().endswith(" tokens/s, $4.50")
    unknown = Pace(lambda tokens: None, 0)
    assert unknown.words() == "0 tokens/s"


def test_a_server_of_ones_own_has_the_price_that_stands_under_its_address(data):
    (data / "prices.yaml").write_text("tinker: {big: {train: 3.0}}\n")
    training = TRAINING.model_copy(update={"base_model": "big"})
    assert TinkerEngine(training).price(train=1_000_000) is None
    assert TinkerEngine(training.model_copy(update={"base_url": HOSTED})).price(train=1_000_000) == 3.0
    (data / "prices.yaml").write_text(f"'{training.base_url}': {{big: {{train: 0}}}}\n")
    assert TinkerEngine(training).price(train=1_000_000) == 0


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


def with_qwens_tokens(tokenizer):
    import copy

    other = copy.deepcopy(tokenizer)
    other.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]})
    return other
