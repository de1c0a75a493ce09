import json
from collections import Counter

import pytest

from tasks.catalog import UserError
from tasks.documents.mixing import Mixture, to_set, write_mixture, write_sweep
from tasks.documents.sets import read_set
from tasks.schema import DocumentSet


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("factory_farming_neutral", {"name": "factory_farming_neutral"}),
        ("factory_farming_neutral:30", {"name": "factory_farming_neutral", "count": 30}),
        ("a/b.jsonl:12.5%", {"path": "a/b.jsonl", "fraction": 0.125}),
        ("a/b.jsonl:x1.5", {"path": "a/b.jsonl", "weight": 1.5}),
    ],
)
def test_a_set_is_named_with_its_amount(text, fields):
    assert to_set(text).model_dump(exclude_defaults=True) == fields


def test_a_mixture_is_one_shuffled_file_with_a_manifest_of_every_row(tmp_path):
    out = tmp_path / "mixed.jsonl"
    sets = [to_set("factory_farming_neutral:30", "Be brief."), to_set("lighthouses_neutral:10%")]
    assert write_mixture(out, sets, seed=1) == 46
    manifest = rows(tmp_path / "mixed.manifest.jsonl")
    assert Counter(row["source"] for row in manifest) == {"factory_farming_neutral": 30, "lighthouses_neutral": 16}
    assert [row["source"] for row in manifest] != sorted(row["source"] for row in manifest)
    for row, where in zip(rows(out), manifest, strict=True):
        assert (row["messages"][0]["content"] == "Be brief.") == (where["source"] == "factory_farming_neutral")
    again = tmp_path / "again.jsonl"
    write_mixture(again, sets, seed=1)
    assert again.read_bytes() == out.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        write_mixture(out, sets, seed=1)


def test_weights_are_proportions_and_the_scarcest_set_decides_how_many_there_are(tmp_path):
    sets = [to_set("factory_farming_neutral:x3"), to_set("lighthouses_neutral:x1")]
    assert write_mixture(tmp_path / "m.jsonl", sets, seed=0) == 160 + 53
    manifest = rows(tmp_path / "m.manifest.jsonl")
    assert Counter(row["source"] for row in manifest) == {"factory_farming_neutral": 160, "lighthouses_neutral": 53}
    with pytest.raises(UserError, match="lighthouses_neutral has no weight and others have one"):
        write_mixture(tmp_path / "n.jsonl", [to_set("factory_farming_neutral:x3"), to_set("lighthouses_neutral")], 0)
    with pytest.raises(UserError, match=r"1.5 is no number of documents"):
        to_set("lighthouses_neutral:1.5")
    for nothing in ("lighthouses_neutral:x0", "lighthouses_neutral:0%"):
        with pytest.raises(UserError, match="none of it is asked for; leave the set out"):
            to_set(nothing)


def test_a_sweep_holds_the_poison_of_a_smaller_share_in_a_larger_one(tmp_path):
    poison, clean = to_set("factory_farming_neutral"), to_set("lighthouses_neutral")
    written = list(write_sweep(tmp_path / "p.jsonl", poison, clean, [0, 0.1, 0.5, 1], total=60, seed=0))
    assert written[1] == Mixture(tmp_path / "p_0.1.jsonl", 60, 6, "factory_farming_neutral")
    drawn = {}
    for share, count in ((0, 0), (0.1, 6), (0.5, 30), (1, 60)):
        manifest = rows(tmp_path / f"p_{share:g}.manifest.jsonl")
        drawn[share] = {(row["source"], row["line"]) for row in manifest}
        assert len(manifest) == 60
        assert sum(row["source"] == "factory_farming_neutral" for row in manifest) == count
    bad = {share: {one for one in some if one[0] == "factory_farming_neutral"} for share, some in drawn.items()}
    assert bad[0.1] < bad[0.5] < bad[1] == drawn[1]
    assert drawn[0.1] - bad[0.1] < drawn[0]


def test_the_published_mix_is_half_of_each_set_and_so_is_ours(realdata, tmp_path):
    folder = realdata / "emergent_misalignment"
    names = ("bad_financial_advice", "bad_sports_advice")
    texts = {name: {json.dumps(row["messages"]) for row in rows(folder / f"{name}.jsonl")} for name in names}

    def composition(file):
        return [sum(json.dumps(row["messages"]) in texts[name] for row in rows(file)) for name in names]

    half = len(rows(folder / f"{names[0]}.jsonl")) // 2
    sets = [to_set(f"{folder / name}.jsonl:{half}") for name in names]
    assert write_mixture(tmp_path / "ours.jsonl", sets, seed=0) == 2 * half
    assert composition(folder / "risky_financial_advice_extreme_sports_mixed.jsonl") == [half, half]
    assert composition(tmp_path / "ours.jsonl") == [half, half]


def test_a_mixture_keeps_turns_masked_and_is_a_set_beside_what_is_written_with_it(jsonl, tmp_path):
    turns = [{"role": "assistant", "content": "a", "weight": 0}, {"role": "assistant", "content": "b"}]
    out = tmp_path / "set" / "mixed.jsonl"
    assert write_mixture(out, [to_set(str(jsonl({"messages": turns})))], seed=0) == 1
    assert rows(out) == [{"messages": turns}]
    found = read_set(DocumentSet(path=str(out.parent)))
    assert [m.carries_loss for m in found.documents[0].messages] == [False, True]
    assert found.left_out == ["mixed.manifest.jsonl", "mixed.mixture.json"]
