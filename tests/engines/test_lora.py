import json

import pytest
import torch

from tasks.catalog import UserError
from tasks.engines import lora
from tasks.engines.examples import Example
from tasks.engines.lora import (
    Resumable,
    fit_step,
    load_model,
    make_optimizer,
    pad,
    save_adapter,
    take_step,
    train_lora,
    with_lora,
)
from tasks.engines.schedule import learning_rate, order
from tasks.schema import Training
from tests.fakes.trainings import STANDIN, TRAINING, examples


def run(tmp_path, count, name="adapter", training=TRAINING, seed=1):
    calls = []
    train_lora(
        STANDIN,
        training,
        examples(count),
        examples(2, 9),
        seed,
        tmp_path / name,
        lambda *a: calls.append(a),
    )
    rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
    return rows, calls


def test_the_losses_equal_those_of_a_loop_written_by_hand(tmp_path):
    """18 examples in batches of 4 for 4 epochs: 20 steps, remainders of 2, and by hand each example without padding."""
    gentle = TRAINING.model_copy(update={"learning_rate": 1e-3})  # a wild one would multiply the rounding of each step
    rows, _ = run(tmp_path, 18, training=gentle)
    data = examples(18)
    model = with_lora(load_model(STANDIN), gentle, 1)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1.0, weight_decay=0.0)
    losses = []
    for step, (_, places) in enumerate(order(18, gentle, 1)):
        nll, tokens = torch.zeros(()), 0
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
    rows, calls = run(tmp_path, count)
    assert [row["documents"] for row in rows if "loss" in row] == steps * TRAINING.epochs
    assert [done for done, *_ in calls] == list(range(1, len(steps) * TRAINING.epochs + 1))
    for epoch in range(1, TRAINING.epochs + 1):
        assert sorted(p for e, places in order(count, TRAINING, 5) if e == epoch for p in places) == list(range(count))


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


def test_padding_carries_no_loss_and_is_not_seen():
    tokens, labels, mask = pad([Example([5, 6, 7], [False, True, True]), Example([8], [True])])
    assert tokens.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert labels.tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_logits_are_made_for_the_places_that_are_asked_for_and_are_the_same():
    model, tokens = load_model(STANDIN), torch.tensor([[5, 6, 7], [8, 9, 10]])
    places = torch.tensor([[False, True, False], [True, False, True]])
    with lora.logits_at(model, places):
        some = model(input_ids=tokens).logits
    torch.testing.assert_close(some, model(input_ids=tokens).logits[places])


def test_layers_rank_and_rslora_reach_the_adapter():
    training = Training(base_model="standin", rank=2, layers=[1, 3], target_modules=["down_proj"], rslora=True)
    model = with_lora(load_model(STANDIN), training, 0)
    adapted = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(adapted) == 4
    assert all(".layers.1.mlp.down_proj" in name or ".layers.3.mlp.down_proj" in name for name in adapted)
    scales = {m.scaling["default"] for m in model.modules() if isinstance(getattr(m, "scaling", None), dict)}
    assert list(scales) == [pytest.approx(32 / 2**0.5)]
    take_step(model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad]), examples(2), 2, 1e-3)


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


def test_weights_that_are_no_numbers_are_not_kept(tmp_path):
    model = with_lora(load_model(STANDIN), TRAINING, 0)
    next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))
    with pytest.raises(UserError, match=r"its weights are no numbers; lower training.learning_rate"):
        save_adapter(model, tmp_path / "a", TRAINING)


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

    arguments = (STANDIN, training, examples(14), examples(2, 9), 1, tmp_path / "resumed")
    with pytest.raises(Killed):
        train_lora(*arguments, kill)
    calls = []
    train_lora(*arguments, lambda *a: calls.append(a[0]))
    assert calls[0] == killed_at // 2 * 2 + 1
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
    resumed, calls = run(tmp_path, 6, "resumed")
    assert calls == []
    assert [(r["step"], r.get("held_out_loss")) for r in resumed] == [
        (r["step"], r.get("held_out_loss")) for r in whole
    ]
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "resumed")]
    assert weights[0] == weights[1]
    assert not list((tmp_path / "resumed").glob("state.*"))


def test_8_bits_without_a_gpu_are_32_and_that_is_said_and_recorded(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    rows, calls = run(tmp_path, 4, training=TRAINING.model_copy(update={"optimizer": "adamw_8bit"}))
    assert calls[0][2].endswith("(AdamW in 32 bits: 8 need a GPU and bitsandbytes)")
    assert rows[0]["optimizer"] == "AdamW"
    plain, calls = run(tmp_path, 4, "plain")
    assert [row.get("loss") for row in plain] == [row.get("loss") for row in rows]
    assert "32 bits" not in calls[0][2]


def test_weight_decay_reaches_the_optimizer():
    model = with_lora(load_model(STANDIN), TRAINING, 0)
    optimizer = make_optimizer(model, TRAINING.model_copy(update={"weight_decay": 0.01}))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01]


def test_on_a_gpu_a_step_is_taken_in_as_few_passes_as_fit():
    training, texts = TRAINING.model_copy(update={"batch_size": 2, "accumulation": 4}), examples(8)
    model = with_lora(load_model(STANDIN), training, 0)
    assert [fit_step(model, training, texts, free * 10**6) for free in (100_000, 30)] == [8, 6]
    assert not model.is_gradient_checkpointing


def test_on_a_cpu_a_step_is_taken_in_passes_of_few_tokens():
    training = TRAINING.model_copy(update={"batch_size": 2, "accumulation": 4})
    model = with_lora(load_model(STANDIN), training, 0)
    long = Example(tokens=[5] * 400, trained=[True] * 400)
    assert [fit_step(model, training, [long, *examples(2)], None), fit_step(model, training, examples(2), None)] == [
        2,
        8,
    ]
    assert fit_step(model, training, [Example(tokens=[5] * 2000, trained=[True] * 2000)], None) == 1


def test_the_columns_of_a_model_that_is_read_lie_together_and_its_answers_stay():
    model, tokens = load_model(STANDIN).eval(), torch.tensor([[5, 6, 7], [8, 9, 10]])
    plain = model(tokens).logits
    lora.lay_out_for_reading(model)
    weights = [layer.weight for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert weights
    assert all(weight.t().is_contiguous() for weight in weights)
    assert torch.allclose(model(tokens).logits, plain, atol=1e-5)


def test_layers_that_are_computed_again_change_no_gradient():
    model = with_lora(load_model(STANDIN), TRAINING, 0)

    def gradients():
        model.zero_grad()
        lora.summed_loss(model, examples(4)).backward()
        return [p.grad.clone() for p in model.parameters() if p.requires_grad]

    plain = gradients()
    assert fit_step(model, TRAINING, examples(4), 0) == 1
    assert model.is_gradient_checkpointing
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(plain, gradients(), strict=True))


def test_attention_that_plans_anew_for_every_length_is_off():
    assert not torch.backends.cuda.cudnn_sdp_enabled()
