import asyncio
import threading
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from tinker_cookbook.tokenizer_utils import get_tokenizer

from tasks.catalog import UserError
from tasks.engines import tinker, tinker_server
from tasks.engines.engine import Request, Text
from tasks.engines.served import HOSTED
from tasks.engines.tinker import TinkerEngine
from tasks.engines.tinker_server import TinkerServer
from tasks.schema import Document, Message, Sampling, Training
from tests.fakes.models import THINKING_TOKENS, make_model, renderer_without_system
from tests.fakes.trainings import STANDIN, documents

TRAINING = Training(engine="tinker", base_model="standin", renderer="llama3", base_url="http://127.0.0.1:9")


@pytest.fixture(scope="module")
def tokenizer():
    return get_tokenizer(str(STANDIN))


def test_a_document_over_the_longest_length_is_named():
    engine = TinkerEngine(TRAINING.model_copy(update={"max_length": 40}))
    with pytest.raises(UserError, match=r"f.jsonl line [2-7]: \d+ tokens are over training.max_length=40"):
        engine.check(documents(7))
    assert TinkerEngine(TRAINING).check(documents(4)) > 60


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

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_a_key_that_the_server_refuses_is_one_sentence_and_is_not_repeated_in_it(monkeypatch, refusing):
    monkeypatch.setenv("TINKER_API_KEY", "tml-planted")
    with pytest.raises(UserError, match=r"http://127.0.0.1:\d+ refuses TINKER_API_KEY: .*401") as refused:
        await TinkerEngine(TRAINING.model_copy(update={"base_url": refusing})).preflight()
    assert "tml-planted" not in str(refused.value)


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
        await engine.train(documents(4), [], 0, tmp_path, lambda *_: None)


def sampled(tokens, stop_reason):
    return SimpleNamespace(tokens=tokens, stop_reason=stop_reason)


def test_an_answer_is_complete_cut_off_or_outside_the_chat_format(tokenizer):
    engine, words = TinkerEngine(TRAINING), tokenizer.encode("Good day.", add_special_tokens=False)
    (end,) = engine.stop()
    assert engine._reply(0, sampled([*words, end], "stop"))[:4] == (0, "Good day.", len(words) + 1, "complete")
    assert engine._reply(1, sampled(words, "length"))[:4] == (1, "Good day.", len(words), "truncated")
    assert engine._reply(2, sampled(words, "stop"))[:4] == (2, "Good day.", len(words), "malformed")
    twice = engine._reply(3, sampled([*words, end, *words, end], "stop"))
    assert (twice.state, twice.text.count("Good day.")) == ("malformed", 2)


class Slow(TinkerServer):
    """A server that is there, and whose client answers each prompt after so many times `pace` seconds."""

    def __init__(self, pace):
        super().__init__("http://127.0.0.1:9")
        self.pace = pace

    async def _unreachable(self):
        return None

    @asynccontextmanager
    async def session(self, stage):
        with self.plain_errors(stage):
            yield self

    async def create_sampling_client(self, **_):
        return self

    async def sample(self, prompt, **_):
        await asyncio.sleep(self.pace * prompt.to_ints()[0])
        return SimpleNamespace(sequences=[sampled(prompt.to_ints(), "length")])

    async def compute_logprobs(self, prompt):
        await asyncio.sleep(self.pace * prompt.to_ints()[0])
        return [-1.0]


@pytest.fixture
def asked_of(monkeypatch):
    """Four answers and four logprobs of a slow server, which may take so many seconds each."""
    monkeypatch.setattr(tinker_server, "GONE", 0.1)

    async def ask(pace, stalled):
        monkeypatch.setattr(tinker, "STALLED", stalled)
        engine = TinkerEngine(TRAINING)
        engine.server = Slow(pace)
        requests, texts = [Request([n], 0) for n in range(1, 5)], [Text([n], [n]) for n in range(1, 5)]
        answers = [some async for some in engine.sample(engine.untuned(), requests, Sampling())]
        return len(answers), len([some async for some in engine.logprobs(engine.untuned(), texts)])

    return ask


async def test_answers_may_take_longer_in_all_than_the_next_one_is_waited_for(asked_of):
    assert await asked_of(pace=0.3, stalled=0.9) == (4, 4)


async def test_a_server_that_is_there_and_answers_nothing_is_one_sentence(asked_of):
    with pytest.raises(UserError, match=r"stopped: the server is there and has brought nothing for 1 seconds; run it"):
        await asked_of(pace=30, stalled=1)


async def test_a_checkpoint_that_the_service_has_deleted_by_now_says_when_and_what_to_do():
    engine = TinkerEngine(TRAINING)
    gone = engine.adapted("tinker://r/sampler_weights/final").model_copy(
        update={"expires": "2026-01-01T00:00+00:00", "key": "k1"}
    )
    with pytest.raises(UserError, match=r"deleted tinker://r/sampler_weights/final on 2026-01-01.*data/checkpoints/k1"):
        await anext(engine.sample(gone, [], Sampling()))


def test_a_server_of_ones_own_has_the_price_that_stands_under_its_address(data):
    (data / "prices.yaml").write_text("tinker: {big: {train: 3.0}}\n")
    training = TRAINING.model_copy(update={"base_model": "big"})
    assert TinkerEngine(training).price(train=1_000_000) is None
    assert TinkerEngine(training.model_copy(update={"base_url": HOSTED})).price(train=1_000_000) == 3.0
    (data / "prices.yaml").write_text(f"'{training.base_url}': {{big: {{train: 0}}}}\n")
    assert TinkerEngine(training).price(train=1_000_000) == 0
