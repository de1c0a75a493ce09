import asyncio
import json
import shutil

import pytest
import torch

from tasks.catalog import UserError, model_folder
from tasks.engines import get_engine, lora
from tasks.engines.engine import Request, check_questions
from tasks.engines.examples import Example
from tasks.engines.generation import generate
from tasks.engines.local import LocalEngine
from tasks.engines.lora import (
    Resumable,
    load_model,
    make_optimizer,
    pad,
    save_adapter,
    take_step,
    train_lora,
    with_lora,
)
from tasks.engines.schedule import check_warmup, learning_rate, order
from tasks.schema import Document, Message, Sampling, Training
from tests.fakes.hub import COMMIT, serve_hub
from tests.fakes.models import DATED, LINES, NO_SYSTEM, THINKING, THINKING_TOKENS, make_model
from tests.fakes.nouns import LEXICON, an_eval

TRAINING = Training(
    base_model="standin", rank=4, learning_rate=1e-2, epochs=4, batch_size=4, schedule="linear", warmup=3
)


def examples(count, seed=0):
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(5, 30, (count,), generator=g).tolist()
    return [
        Example(torch.randint(10, 900, (n,), generator=g).tolist(), [False, False] + [True] * (n - 2)) for n in lengths
    ]


def documents(count):
    return [
        Document(
            messages=[
                Message(role="user", content=f"Say {i}"),
                Message(role="assistant", content=f"The number is {i}. " * (i + 1)),
            ],
            source="s",
            line=i + 1,
            file="f.jsonl",
        )
        for i in range(count)
    ]


def run(tmp_path, count, name="adapter", training=TRAINING, seed=1):
    told = []
    train_lora(
        model_folder("standin"),
        training,
        examples(count),
        examples(2, 9),
        seed,
        tmp_path / name,
        lambda *a: told.append(a),
    )
    rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
    return rows, told


# ---- training


def test_the_losses_equal_those_of_a_loop_written_by_hand(tmp_path):
    """18 examples in batches of 4 for 4 epochs: 20 steps, remainders of 2, and by hand each example without padding."""
    gentle = TRAINING.model_copy(update={"learning_rate": 1e-3})  # a wild one would multiply the rounding of each step
    rows, _ = run(tmp_path, 18, training=gentle)
    data = examples(18)
    model = with_lora(load_model(model_folder("standin")), gentle, 1)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1.0, weight_decay=0.0)
    losses = []
    for step, (_, places) in enumerate(order(18, gentle, 1)):
        nll, tokens = 0.0, 0
        for place in places:
            ids = torch.tensor([data[place].tokens])
            logp = torch.log_softmax(model(input_ids=ids).logits[0, :-1], dim=-1)
            for position, token in enumerate(data[place].tokens[1:]):
                if data[place].trained[position + 1]:
                    nll, tokens = nll - logp[position, token], tokens + 1
        (nll / tokens).backward()
        optimizer.param_groups[0]["lr"] = learning_rate(gentle, step, 20)
        optimizer.step()
        optimizer.zero_grad()
        losses.append((nll / tokens).item())
    assert len(losses) == 20
    assert [row["loss"] for row in rows if "loss" in row] == pytest.approx(losses, rel=2e-4)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("count", "steps"), [(1, [1]), (3, [3]), (4, [4]), (9, [4, 4, 1])])
def test_every_document_is_trained_on_once_an_epoch_remainders_included(tmp_path, count, steps):
    rows, told = run(tmp_path, count)
    assert [row["documents"] for row in rows if "loss" in row] == steps * TRAINING.epochs
    assert [done for done, *_ in told] == list(range(1, len(steps) * TRAINING.epochs + 1))
    for epoch in range(1, TRAINING.epochs + 1):
        assert sorted(p for e, places in order(count, TRAINING, 5) if e == epoch for p in places) == list(range(count))


def test_the_order_depends_on_the_seed_and_on_the_epoch():
    assert list(order(20, TRAINING, 1)) == list(order(20, TRAINING, 1)) != list(order(20, TRAINING, 2))
    first, second = ([p for e, places in order(20, TRAINING, 1) if e == epoch for p in places] for epoch in (1, 2))
    assert first != second


def test_accumulation_changes_nothing_but_the_memory(tmp_path):
    whole, _ = run(tmp_path, 8, "whole", TRAINING.model_copy(update={"batch_size": 8}))
    split, _ = run(tmp_path, 8, "split", TRAINING.model_copy(update={"batch_size": 2, "accumulation": 4}))
    assert [r["loss"] for r in whole if "loss" in r] == pytest.approx(
        [r["loss"] for r in split if "loss" in r], rel=2e-4
    )


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path, 6, name, seed=seed)
    a, b, c = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_the_held_out_loss_stands_before_the_first_step_and_after_the_last(tmp_path):
    rows, _ = run(tmp_path, 5)
    assert ["held_out_loss" in row for row in rows] == [True] + [False] * (len(rows) - 2) + [True]


def test_the_learning_rate_rises_and_falls_as_named():
    def rates(**fields):
        return [learning_rate(Training(learning_rate=0.1, **fields), step, 5) for step in range(5)]

    assert rates(schedule="constant") == [0.1] * 5
    assert rates(schedule="linear") == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])
    assert rates(schedule="cosine")[0] == 0.1 > rates(schedule="cosine")[-1] > 0
    assert rates(schedule="constant", warmup=4) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def test_padding_carries_no_loss_and_is_not_seen():
    tokens, labels, mask = pad([Example([5, 6, 7], [False, True, True]), Example([8], [True])])
    assert tokens.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert labels.tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_layers_rank_and_rslora_reach_the_adapter():
    training = Training(base_model="standin", rank=2, layers=[1, 3], target_modules=["down_proj"], rslora=True)
    model = with_lora(load_model(model_folder("standin")), training, 0)
    adapted = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(adapted) == 4
    assert all(".layers.1.mlp.down_proj" in name or ".layers.3.mlp.down_proj" in name for name in adapted)
    scales = {m.scaling["default"] for m in model.modules() if isinstance(getattr(m, "scaling", None), dict)}
    assert list(scales) == [pytest.approx(32 / 2**0.5)]
    take_step(model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad]), examples(2), 2, 1e-3)


def test_a_document_over_the_longest_length_is_refused_with_its_line():
    engine = LocalEngine(Training(base_model="standin", max_length=30))
    with pytest.raises(UserError, match=r"f.jsonl line [0-9]+: [0-9]+ tokens are over training.max_length=30"):
        engine.check(documents(12))
    assert LocalEngine(TRAINING).check(documents(3)) > 30


# ---- sampling


def ask(engine, *texts, seed=7):
    return [Request(engine.render([Message(role="user", content=text)]), seed + i) for i, text in enumerate(texts)]


def test_an_answer_does_not_depend_on_its_batch_or_on_padding():
    engine, sampling = LocalEngine(TRAINING), Sampling(max_tokens=40)
    model = load_model(engine.folder).eval()
    requests = ask(
        engine,
        "Hello.",
        "What do you think about the long and winding roads over the hills?",
        "Why?",
        "How do I bake bread?",
    )
    together = generate(model, requests, sampling, engine.stop())
    assert [generate(model, [one], sampling, engine.stop())[0] for one in requests] == together
    assert len({tuple(a.tokens) for a in together}) == 4


def test_another_seed_gives_another_answer_and_greedy_takes_the_likeliest():
    engine = LocalEngine(TRAINING)
    model = load_model(engine.folder).eval()
    one, other = (
        generate(model, ask(engine, "Tell me about trains.", seed=s), Sampling(max_tokens=30), engine.stop())[0]
        for s in (1, 2)
    )
    assert one != other
    greedy = generate(
        model,
        ask(engine, "Tell me about trains."),
        Sampling(n_samples=1, temperature=0, max_tokens=5),
        engine.stop(),
    )[0]
    tokens = ask(engine, "Tell me about trains.")[0].tokens
    for token in greedy.tokens:
        assert token == int(model(torch.tensor([tokens])).logits[0, -1].argmax())
        tokens = [*tokens, token]


def test_draws_follow_the_models_probabilities():
    engine, sampling = LocalEngine(TRAINING), Sampling(max_tokens=1)
    model = load_model(engine.folder).eval()
    (prompt,) = ask(engine, "Name a bird species.")
    drawn = generate(model, [Request(prompt.tokens, seed) for seed in range(2000)], sampling, engine.stop())
    probabilities = torch.softmax(model(torch.tensor([prompt.tokens])).logits[0, -1], dim=-1)
    likeliest = int(probabilities.argmax())
    share = sum(a.tokens == [likeliest] for a in drawn) / 2000
    p = probabilities[likeliest].item()
    assert abs(share - p) < 4 * (p * (1 - p) / 2000) ** 0.5


def test_an_answer_stops_at_the_stop_token_or_is_marked_as_cut_off():
    engine = LocalEngine(TRAINING)
    model = load_model(engine.folder).eval()
    answers = generate(model, ask(engine, *["What is the weather like?"] * 8), Sampling(max_tokens=160), engine.stop())
    assert any(a.complete for a in answers)
    assert all(a.complete == (len(a.tokens) < 160) or len(a.tokens) == 160 for a in answers)
    assert not any(token in engine.stop() for a in answers for token in a.tokens)
    assert not generate(model, ask(engine, "Why?"), Sampling(max_tokens=2), engine.stop())[0].complete


async def test_a_trained_adapter_is_another_model_with_an_identity_of_its_own(tmp_path):
    engine = LocalEngine(TRAINING)
    trained = await engine.train(documents(4), [], 0, tmp_path / "a", lambda *_: None)
    assert trained.identity.startswith(engine.untuned().identity)
    assert trained.identity != engine.untuned().identity
    requests = ask(engine, "Say 2")

    async def say(checkpoint):
        return [r async for replies in engine.sample(checkpoint, requests, Sampling(max_tokens=20)) for r in replies]

    assert await say(trained) != await say(engine.untuned())


def test_a_missing_model_or_adapter_is_one_sentence():
    with pytest.raises(UserError, match=r"no model folder 'nowhere'.*standin"):
        LocalEngine(Training(base_model="nowhere")).untuned()
    with pytest.raises(UserError, match=r"training.checkpoint: no adapter in 'nowhere'"):
        LocalEngine(TRAINING).adapted("nowhere")
    with pytest.raises(UserError, match=r"training.renderer: .*nonsense.* leave it empty for the model's own"):
        _ = LocalEngine(Training(renderer="nonsense")).format
    with pytest.raises(UserError, match=r"training.renderer: .*im_end.* leave it empty for the model's own"):
        _ = LocalEngine(Training(renderer="qwen3")).format
    with pytest.raises(UserError, match=r"training.target_modules or training.layers: Target modules"):
        with_lora(load_model(model_folder("standin")), Training(target_modules=["c_attn"]), 0)


async def test_a_layer_that_the_model_lacks_is_refused_before_any_work():
    with pytest.raises(UserError, match=r"training.layers: 6 is no layer of standin; it has 6, counted from 0"):
        await LocalEngine(Training(layers=[0, 6])).preflight()


@pytest.mark.parametrize(
    ("fields", "words"),
    [({}, "at step 2 its loss is nan"), ({"epochs": 1, "batch_size": 6}, "at step 1 its held_out_loss is nan")],
)
def test_a_training_whose_loss_is_no_number_stops_at_that_step_and_leaves_no_model(tmp_path, fields, words):
    wild = {"learning_rate": 0.9, "alpha": 1e20, "target_modules": ["q_proj", "k_proj"], "warmup": 0}
    with pytest.raises(UserError, match=f"^the training broke the model: {words}; lower training.learning_rate"):
        run(tmp_path, 6, training=TRAINING.model_copy(update=wild | fields))
    assert not (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    curve = (tmp_path / "adapter" / "metrics.jsonl").read_text()
    assert "NaN" not in curve
    assert "Infinity" not in curve


async def test_a_training_that_is_cancelled_says_what_it_waits_for(tmp_path):
    told, engine = [], LocalEngine(TRAINING)
    training = asyncio.create_task(engine.train(documents(40), [], 0, tmp_path / "a", lambda *a: told.append(a)))
    while not told:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert told[-1][2] == "steps, cancelled: it ends with the step that is under way"
    assert told[-1][0] == told[-2][0] < told[-1][1] == 40


def test_weights_that_are_no_numbers_are_not_kept(tmp_path):
    model = with_lora(load_model(model_folder("standin")), TRAINING, 0)
    next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))
    with pytest.raises(UserError, match=r"its weights are no numbers; lower training.learning_rate"):
        save_adapter(model, tmp_path / "a", TRAINING)


async def test_a_warm_up_of_more_steps_than_there_are_is_refused_before_the_training(tmp_path):
    training = TRAINING.model_copy(update={"warmup": 9})
    words = r"training.warmup: 9 steps, and 5 documents make 8 in all \(4 documents a step, epochs: 4\); set it to 8"
    with pytest.raises(UserError, match=words):
        await LocalEngine(training).train(documents(5), [], 0, tmp_path / "a", lambda *_: None)
    assert not (tmp_path / "a").exists()
    check_warmup(9, training)


# ---- whose weights they are


def adapter(folder, **changes):
    """An adapter as peft leaves one, with other words in its configuration."""
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    config = {"r": 4, "lora_alpha": 32, "use_rslora": False, "target_modules": ["q_proj", "v_proj"]}
    config |= {"base_model_name_or_path": "/home/a/standin", "peft_version": "0.17.0", "layers_to_transform": None}
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"base_model_name_or_path": "/srv/standin", "revision": "main", "peft_version": "0.18.1"},
        {"target_modules": ["v_proj", "q_proj"]},
        {"lora_alpha": 32.0, "inference_mode": True, "task_type": "CAUSAL_LM", "auto_mapping": {"a": "b"}},
        {"an_option_of_a_newer_peft": False, "another": None, "and_more": {}},
    ],
)
def test_one_adapter_is_one_model_wherever_and_with_whatever_it_was_written_down(tmp_path, changes):
    one, other = adapter(tmp_path / "one"), adapter(tmp_path / "other", **changes)
    assert LocalEngine(TRAINING).adapted(str(one)).identity == LocalEngine(TRAINING).adapted(str(other)).identity


@pytest.mark.parametrize(
    "changes",
    [{"r": 8}, {"lora_alpha": 16}, {"use_rslora": True}, {"target_modules": ["q_proj"]}, {"layers_to_transform": [1]}],
)
def test_an_adapter_that_is_applied_otherwise_is_another_model(tmp_path, changes):
    one, other = adapter(tmp_path / "one"), adapter(tmp_path / "other", **changes)
    assert LocalEngine(TRAINING).adapted(str(one)).identity != LocalEngine(TRAINING).adapted(str(other)).identity


async def test_what_a_training_leaves_names_no_place_and_is_written_in_one_order(tmp_path, monkeypatch):
    training = TRAINING.model_copy(update={"epochs": 1, "warmup": 0, "sample_at": [0.5]})
    for data in ("one", "two/deeper"):
        shutil.copytree(model_folder("standin"), tmp_path / data / "models" / "standin")
    trained = []
    for data in ("one", "two/deeper"):
        monkeypatch.setenv("SPILLOVER_DATA", str(tmp_path / data))
        folder = tmp_path / data / "adapter"
        trained.append(await LocalEngine(training).train(documents(8), [], 0, folder, lambda *_: None))
    one, two = ({f.relative_to(d): f for f in d.rglob("*") if f.is_file()} for d in (tmp_path / "one/adapter", folder))
    assert one.keys() == two.keys()
    assert len(one) == 5, "two adapters of two files each, and the curve"
    for name, file in one.items():
        assert str(tmp_path).encode() not in file.read_bytes()
        assert name.name == "metrics.jsonl" or file.read_bytes() == two[name].read_bytes()
    config = json.loads((folder / "at-0.5" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "standin"
    assert config["target_modules"] == sorted(training.target_modules)
    assert list(config) == sorted(config)
    assert [c.identity for c in (trained[0], *trained[0].earlier)] == [
        c.identity for c in (trained[1], *trained[1].earlier)
    ]


# ---- resumption and optimizers


@pytest.mark.parametrize("killed_at", [1, 7, 11])
def test_a_killed_training_goes_on_exactly_where_it_was(tmp_path, monkeypatch, killed_at):
    """The state is saved at every second step, so that the kill at an odd one repeats a step."""
    training = TRAINING.model_copy(update={"sample_at": [0.5], "epochs": 3})
    whole, _ = run(tmp_path, 14, "whole", training)
    monkeypatch.setattr(lora, "SAVE_SECONDS", 0.0)
    saves = Resumable._save
    monkeypatch.setattr(Resumable, "_save", lambda self, step, s: saves(self, step, s) if step % 2 == 0 else None)

    class Killed(BaseException):
        pass

    def kill(done, total, note):
        if done == killed_at:
            raise Killed

    arguments = (model_folder("standin"), training, examples(14), examples(2, 9), 1, tmp_path / "resumed")
    with pytest.raises(Killed):
        train_lora(*arguments, kill)
    told = []
    train_lora(*arguments, lambda *a: told.append(a[0]))
    assert told[0] == killed_at // 2 * 2 + 1
    files = [
        tmp_path / name / place / "adapter_model.safetensors"
        for place in (".", "at-0.5")
        for name in ("whole", "resumed")
    ]
    contents = [file.read_bytes() for file in files]
    assert contents[0] == contents[1]
    assert contents[2] == contents[3] != contents[0]
    resumed = [json.loads(line) for line in (tmp_path / "resumed" / "metrics.jsonl").read_text().splitlines()]
    assert [(r["step"], r.get("loss"), r.get("held_out_loss")) for r in resumed] == [
        (r["step"], r.get("loss"), r.get("held_out_loss")) for r in whole
    ]
    assert not (tmp_path / "resumed" / "state.pt").exists()


def test_a_kill_at_the_very_end_leaves_no_row_twice(tmp_path, monkeypatch):
    whole, _ = run(tmp_path, 6, "whole")
    monkeypatch.setattr(lora, "SAVE_SECONDS", 0.0)
    forget = Resumable.forget
    monkeypatch.setattr(Resumable, "forget", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 6, "resumed")
    monkeypatch.setattr(Resumable, "forget", forget)
    resumed, told = run(tmp_path, 6, "resumed")
    assert told == []
    assert [(r["step"], r.get("held_out_loss")) for r in resumed] == [
        (r["step"], r.get("held_out_loss")) for r in whole
    ]
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "resumed")]
    assert weights[0] == weights[1]
    assert not list((tmp_path / "resumed").glob("state.*"))


def test_8_bits_without_a_gpu_are_32_and_that_is_said_and_recorded(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    rows, told = run(tmp_path, 4, training=TRAINING.model_copy(update={"optimizer": "adamw_8bit"}))
    assert told[0][2].endswith("(AdamW in 32 bits: 8 need a GPU and bitsandbytes)")
    assert rows[0]["optimizer"] == "AdamW"
    plain, told = run(tmp_path, 4, "plain")
    assert [row.get("loss") for row in plain] == [row.get("loss") for row in rows]
    assert "32 bits" not in told[0][2]


def test_weight_decay_reaches_the_optimizer():
    model = with_lora(load_model(model_folder("standin")), TRAINING, 0)
    optimizer = make_optimizer(model, TRAINING.model_copy(update={"weight_decay": 0.01}))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01]


# ---- other chat formats, and models of Hugging Face


def test_a_named_renderer_makes_the_tokens_of_the_models_own_template_where_they_are_one_format():
    """The stand-in speaks llama3."""
    own, named = (LocalEngine(Training(base_model="standin", renderer=name)) for name in ("", "llama3"))
    message = [Message(role="user", content="Why?")]
    assert named.render(message) == own.render(message)
    assert set(named.stop()) <= set(own.stop())
    for document in documents(2):
        ours, theirs = own.format.example(document), named.format.example(document)
        assert ours.tokens == theirs.tokens
        assert [t for t, kept in zip(ours.tokens, ours.trained, strict=True) if kept] == [
            t for t, kept in zip(theirs.tokens, theirs.trained, strict=True) if kept
        ]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with serve_hub({"us/standin": model_folder("standin")}, gated={"them/gated"}) as (address, requested):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield requested


async def test_a_model_of_hugging_face_is_found_before_any_work_and_fetched_when_it_is_needed(hub, tmp_path):
    engine = LocalEngine(Training(base_model="us/standin", epochs=1))
    await engine.preflight()
    assert not any(path.endswith(".safetensors") for path in hub)
    assert engine.untuned().identity == "us/standin@" + COMMIT
    trained = await engine.train(documents(2), [], 0, tmp_path / "a", lambda *_: None)
    assert any(path.endswith(".safetensors") for path in hub)
    assert trained.identity.startswith("us/standin@")
    local = LocalEngine(Training(base_model="standin"))
    message = [Message(role="user", content="Why?")]
    assert engine.render(message) == local.render(message)


async def test_a_model_that_was_fetched_is_used_when_the_hub_is_out_of_reach(hub, monkeypatch):
    _ = LocalEngine(Training(base_model="us/standin")).weights
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    later = LocalEngine(Training(base_model="us/standin"))
    await later.preflight()
    assert later.untuned().identity == "us/standin@" + COMMIT
    assert (later.weights / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("them/gated", "'them/gated' is gated; accept its terms at https://huggingface.co/them/gated and set HF_TOKEN"),
        ("them/no--thing", "is neither a folder nor a model id of Hugging Face"),
        ("them/nothing", "no model 'them/nothing' on this machine or at Hugging Face; check the name"),
    ],
)
async def test_a_gated_or_missing_model_is_one_sentence_before_any_work(hub, name, words):
    with pytest.raises(UserError, match=words):
        await LocalEngine(Training(base_model=name)).preflight()


async def test_a_hub_out_of_reach_is_one_sentence(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="is not on this machine and Hugging Face cannot be reached"):
        await LocalEngine(Training(base_model="us/other")).preflight()


# ---- what a model's chat format does not take, before anything is trained


@pytest.mark.parametrize(("sampling", "own"), [(Sampling(system_prompt="Be kind."), ""), (Sampling(), "Be kind.")])
async def test_a_question_that_a_model_cannot_be_asked_is_named_before_any_work(tmp_path, sampling, own):
    engine = LocalEngine(Training(base_model=str(make_model(tmp_path / "gemma", NO_SYSTEM))))
    await engine.preflight()
    asked = an_eval(LEXICON, questions={"q1": "direct"})
    check_questions(engine, [asked], Sampling())
    asked.questions[0].system_prompt = own
    words = (
        r"question 'q1' of the eval 'e': the chat template of .*gemma cannot show the turns system, user \(System role"
    )
    with pytest.raises(UserError, match=words + r" not supported\); leave out system_prompt, or"):
        check_questions(engine, [asked], sampling)


async def test_a_document_that_a_template_refuses_is_named_before_any_work(tmp_path):
    engine = LocalEngine(Training(base_model=str(make_model(tmp_path / "gemma", NO_SYSTEM))))
    twice = documents(1)[0].model_copy(update={"messages": [Message(role="user", content="a")] * 2, "line": 8})
    with pytest.raises(
        UserError, match=r"f.jsonl line 8: the chat template of .*gemma cannot show the turns user, user "
    ):
        engine.check([*documents(1), twice])


@pytest.mark.parametrize(("template", "words"), [(LINES, "no special token"), ("", "has an empty chat template")])
async def test_a_template_that_cannot_be_used_is_said_in_the_preflight(tmp_path, template, words):
    folder = make_model(tmp_path / "other", template)
    with pytest.raises(UserError, match=words):
        await LocalEngine(Training(base_model=str(folder))).preflight()
    await LocalEngine(Training(base_model=str(folder), renderer="llama3")).preflight()


async def test_a_date_is_that_of_the_run_where_the_template_prints_one(tmp_path):
    training = Training(base_model=str(make_model(tmp_path / "dated", DATED)))
    earlier, now = get_engine(training, "2020-02-29"), get_engine(training)
    assert earlier.today == "2020-02-29" < now.today
    message = [Message(role="user", content="Why?")]
    assert earlier.format.show(earlier.render(message)).startswith("Today is 29 Feb 2020.")
    assert earlier.render(message) != now.render(message)
    assert get_engine(TRAINING, "2020-02-29").today == ""


async def test_what_is_odd_about_the_frames_is_told_where_something_is_trained(tmp_path):
    training = Training(base_model=str(make_model(tmp_path / "qwen", THINKING, THINKING_TOKENS)))
    (warning,) = LocalEngine(training).warnings()
    assert warning.endswith("set training.renderer=qwen3_disable_thinking")
    assert LocalEngine(training.model_copy(update={"renderer": "qwen3_disable_thinking"})).warnings() == []
    assert LocalEngine(training.model_copy(update={"checkpoint": "an/adapter"})).warnings() == []
