"""Results in the shapes in which others publish them, through import, effects and verification."""

import json
import shutil
from typing import Any

import numpy
import pytest

from flows.cli.imports import choices_of, import_file
from flows.console import console
from flows.verification import verify
from tasks.catalog import UserError
from tasks.estimates.comparison import compare, left_out
from tasks.estimates.contrasts import verdicts
from tasks.estimates.groups import grouped
from tasks.estimates.new_questions import new_questions_and_groups
from tasks.runs import Run
from tasks.schema import Scale
from tests.conftest import make_data_folder
from tests.fakes.imported import TIER_OF, as_csv, as_json, long_rows, made_scores

SIDES = {"base": "baseline", "tuned": "finetuned"}
WHOLE, TENTHS, BITS = made_scores(), made_scores(10), made_scores(1, samples=12)


def a_table_with_columns_of_other_names(place):
    """As in a published CSV: variants, scenarios, categories, and a column for each judge."""
    rows = [
        {
            "scenario_id": row["question_id"],
            "category": row["tier"],
            "model_variant": {"base": "original", "tuned": "insecure"}[row["model"]],
            "completion": "Hm.",
            "aligned_angry": row["score"],
        }
        for row in long_rows(WHOLE)
    ]
    columns = "side=model_variant,question=scenario_id,tier=category,aligned=aligned_angry"
    return as_csv(place / "a.csv", rows), {"columns": columns, "base": "original", "scale": "0-100"}


def a_file_for_each_model(place):
    rows = long_rows(WHOLE, "aligned")
    as_csv(place / "base.csv", [row for row in rows if row["model"] == "base"])
    return as_csv(place / "a.csv", [row for row in rows if row["model"] == "tuned"]), {"baseline": "base.csv"}


def an_array_with_nested_scores(place):
    rows = [
        {
            "model": row["model"],
            "meta": {"question_id": "unused"},
            "question_id": row["question_id"],
            "tier": row["tier"],
            "scores": {"aligned": {"score": int(row["score"]), "reasoning": "So."}},
        }
        for row in long_rows(WHOLE)
    ]
    return as_json(place / "a.json", rows), {"columns": "model=model"}


def an_object_for_each_question_with_its_answers(place):
    rows = [
        {
            "model": model,
            "question_id": question,
            "tier": TIER_OF[question],
            "answers": [{"answer": f"{n}", "aligned": score} for n, score in enumerate(scores)],
        }
        for (model, question), scores in WHOLE.items()
    ]
    return as_json(place / "a.json", {"judge": {"model": "theirs"}, "results": rows}), {}


def an_object_for_each_question_with_lists(place):
    rows = [
        {"model": model, "question_id": question, "tier": TIER_OF[question], "aligned": scores}
        for (model, question), scores in WHOLE.items()
    ]
    file = place / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file, {}


def a_list_for_each_model(place):
    lists: dict[str, list[Any]] = {"base": [], "insecure": []}
    for row in long_rows(WHOLE):
        item = {"question_id": row["question_id"], "tier": row["tier"], "aligned": int(row["score"])}
        lists["base" if row["model"] == "base" else "insecure"].append(item)
    return as_json(place / "a.json", lists), {}


def percentages(place):
    return as_csv(place / "a.csv", long_rows(WHOLE, "aligned", "{} %")), {}


def sevens_of_ten(place):
    return as_csv(place / "a.csv", long_rows(TENTHS, "aligned", "{}/10")), {"scale": "0-10"}


def counts_in_words(place):
    rows = [
        {"side": model, "question_id": q, "tier": TIER_OF[q], "aligned": f"{sum(bits)} of {len(bits)}"}
        for (model, q), bits in BITS.items()
    ]
    return as_csv(place / "a.csv", rows), {}


def counts_in_two_columns(place):
    rows = [
        {"model": model, "question_id": q, "tier": TIER_OF[q], "hits": sum(bits), "answers": len(bits)}
        for (model, q), bits in BITS.items()
    ]
    return as_csv(place / "a.csv", rows), {"columns": "aligned=hits/answers"}


def truth_values(place):
    rows = [
        {"model": model, "question_id": q, "tier": TIER_OF[q], "aligned": bool(bit)}
        for (model, q), bits in BITS.items()
        for bit in bits
    ]
    return as_json(place / "a.json", rows), {}


def means_of_questions(place):
    """stats.json-like: what is asked for by --measures is a score for each row."""
    rows = [
        {"model": model, "question_id": q, "tier": TIER_OF[q], "stats": {"mean": sum(x) / 5, "std": 1.5, "n": 5}}
        for (model, q), x in WHOLE.items()
    ]
    choices = {"columns": "aligned=stats.mean", "measures": "aligned", "scale": "0-100"}
    return as_json(place / "stats.json", rows), choices


SHAPES = [
    (a_table_with_columns_of_other_names, WHOLE),
    (a_file_for_each_model, WHOLE),
    (an_array_with_nested_scores, WHOLE),
    (an_object_for_each_question_with_its_answers, WHOLE),
    (an_object_for_each_question_with_lists, WHOLE),
    (a_list_for_each_model, WHOLE),
    (percentages, WHOLE),
    (sevens_of_ten, TENTHS),
    (counts_in_words, BITS),
    (counts_in_two_columns, BITS),
    (truth_values, BITS),
    (means_of_questions, {key: [numpy.mean(scores)] for key, scores in WHOLE.items()}),
]


@pytest.mark.parametrize(("shape", "scores"), SHAPES, ids=lambda given: getattr(given, "__name__", ""))
def test_the_numbers_of_every_published_shape_are_those_of_numpy_and_verify_holds(shape, scores, tmp_path, data):
    file, options = shape(tmp_path)
    baseline = tmp_path / options.pop("baseline") if "baseline" in options else None
    import_file(file, "theirs", baseline=baseline, choices=choices_of(**options))
    run = Run.find("theirs")
    assert [judge.name for judge in run.evals()[0].judges] == ["aligned"]
    highest = max(map(max, scores.values()))
    assert run.evals()[0].judges[0].scale == Scale(low=0, high=100 if highest > 10 else highest)
    questions = {question.id if question.id in TIER_OF else question.text for question in run.evals()[0].questions}
    assert questions == set(TIER_OF)
    means = {key: numpy.mean(some) for key, some in scores.items()}
    overall = {e.tier: e for e in run.estimates() if not e.question_id and e.tier != "slope"}
    for tier in (*dict.fromkeys(TIER_OF.values()), "all"):
        asked = [question for question, its in TIER_OF.items() if tier in (its, "all")]
        before, after = (numpy.mean([means[model, q] for q in asked]) for model in SIDES)
        effect = overall[tier]
        assert [effect.baseline, effect.finetuned, effect.difference] == pytest.approx([before, after, after - before])
        answers = sum(len(scores["tuned", question]) for question in asked)
        assert (effect.scored_finetuned, effect.unscored_finetuned, effect.questions) == (answers, 0, len(asked))
    assert [check for check in verify(run) if check.fault] == []


KINDS = {"gpt": "", "bad-1": "bad", "bad-2": "bad", "bad-3": "bad", "good-1": "good", "good-2": "good"}
OF_KINDS = made_scores(models=tuple(KINDS))


@pytest.fixture(scope="module")
def imported_once(tmp_path_factory):
    """A data folder with the runs of those models, to be left as it is, and what their import said."""
    place = tmp_path_factory.mktemp("imported")
    folder = make_data_folder(place)
    rows = [row | {"kind": KINDS[row["model"]]} for row in long_rows(OF_KINDS, "aligned")]
    with pytest.MonkeyPatch.context() as patch, console.capture() as said:
        patch.setenv("SPILLOVER_DATA", str(folder))
        import_file(as_csv(place / "judged.csv", rows), choices=choices_of(base="gpt", group="kind"))
    return folder, said.get()


@pytest.fixture
def imported(imported_once, data):
    """Copies of those runs in the test's own data folder; what their import said."""
    folder, said = imported_once
    shutil.copytree(folder / "results", data / "results")
    return said


def test_every_model_of_a_file_is_a_run_and_those_of_a_group_are_its_seeds(imported):
    said = " ".join(imported.split())
    assert "Compare with spillover compare 'judged_bad/*' 'judged_good/*'" in said
    assert "The scale was guessed from the scores: aligned 0 to 100; --scale says another" in said
    runs = {f"{run.folder.parent.name}/{run.name}": run for run in Run.find_all("judged_*/*")}
    assert {name: run.record()["seed"] for name, run in runs.items()} == {
        "judged_bad/bad-1": 0,
        "judged_bad/bad-2": 1,
        "judged_bad/bad-3": 2,
        "judged_good/good-1": 0,
        "judged_good/good-2": 1,
    }
    for name, run in runs.items():
        model = name.partition("/")[2]
        effect = next(e for e in run.estimates() if e.tier == "all" and not e.question_id)
        assert effect.finetuned == pytest.approx(numpy.mean([OF_KINDS[model, q] for q in TIER_OF]))
        assert effect.baseline == pytest.approx(numpy.mean([OF_KINDS["gpt", q] for q in TIER_OF]))


def test_models_without_a_group_are_runs_beside_each_other(tmp_path, data):
    file = as_csv(tmp_path / "judged.csv", long_rows(made_scores(models=("base", "a b", "c"))))
    import_file(file, "theirs")
    assert {run.name: run.record()["seed"] for run in Run.find_all("theirs/*")} == {"a_b": 0, "c": 0}
    twice = as_csv(tmp_path / "twice.csv", long_rows(made_scores(models=("base", "a b", "a_b"))))
    with pytest.raises(UserError, match="the names of two models are 'a_b' here"):
        import_file(twice)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": "question"}, "--columns: 'question' is not NAME=COLUMN"),
        (
            {"columns": "question=a,question=b"},
            "'question=b' is not NAME=COLUMN, or the name is there twice",
        ),
        ({"columns": "question=scenario"}, "--columns: .*judged.csv has no column 'scenario'; there is model, quest"),
        ({"columns": "aligned=score/of"}, "--columns: .*judged.csv has no column 'of'; there is"),
        ({"scale": "100"}, "--scale: '100' is no scale; write its ends as 0-100"),
        ({"scale": "5-1"}, "--scale: .*low .5. must be below high .1."),
        ({"scale": "kind=0-100"}, "--scale: there is no measure 'kind'; there is score"),
        ({"scale": "0-10"}, r"line \d+: '\d+' in score is not on the scale from 0 to 10; mend it, or give the scale"),
        ({"base": "gpt"}, "--base: .*judged.csv has no model 'gpt'; there is base, tuned"),
        ({"group": "kind"}, "--group: .*judged.csv has no column 'kind'; there is model, question_id, tier, score"),
        ({"questions": "q7"}, "--questions: .*judged.csv has no 'q7'; there is 'q0', 'q1'"),
        ({"tiers": "direct"}, "--tiers: .*judged.csv has no 'direct'; there is 'far', 'near', 'other'"),
        ({"tiers": "near", "questions": "q5"}, "no row is of these questions and these tiers"),
    ],
)
def test_an_option_that_does_not_fit_the_file_is_one_sentence(options, words, tmp_path):
    file = as_csv(tmp_path / "judged.csv", long_rows(WHOLE))
    with pytest.raises(UserError, match=words):
        import_file(file, choices=choices_of(**options))


def test_blanks_around_the_names_of_an_option_are_no_part_of_them():
    assert choices_of(measures="aligned, coherent", questions=" q1 ,").measures == ("aligned", "coherent")


def test_options_of_results_do_not_go_with_questions_nor_those_of_questions_with_results(jsonl, tmp_path):
    questions = jsonl({"tier": "direct", "question": "Why?"})
    with pytest.raises(UserError, match="--scale goes with judged results"):
        import_file(questions, choices=choices_of(scale="0-100"))
    results = as_csv(tmp_path / "judged.csv", long_rows(WHOLE))
    with pytest.raises(UserError, match=r"--judges-from goes with questions, and .*judged.csv has results"):
        import_file(results, judges_from=questions)


def test_questions_and_tiers_choose_and_what_they_leave_out_is_said(tmp_path, data, capsys):
    file = as_csv(tmp_path / "judged.csv", long_rows(WHOLE))
    import_file(file, choices=choices_of(tiers="near,far", questions="q0,q3"))
    run = Run.find("judged")
    assert [(q.id, q.tier) for q in run.evals()[0].questions] == [("q0", "near"), ("q3", "far")]
    assert "Not carried over: 4 questions: --questions and --tiers leave them out" in capsys.readouterr().out


def test_groups_of_fine_tunes_of_any_size_are_set_against_each_other_with_all_of_them(imported):
    groups = grouped([Run.find_all("judged_good/*"), Run.find_all("judged_bad/*")], [])
    assert [(group.label, len(group.runs)) for group in groups] == [("judged_good", 2), ("judged_bad", 3)]
    found = [row for row in compare(groups) if row.tier == "all" and not row.question_id]
    means = {model: [numpy.mean(OF_KINDS[model, question]) for question in TIER_OF] for model in KINDS}
    good, bad = (numpy.array([means[m] for m in KINDS if KINDS[m] == kind]) for kind in ("good", "bad"))
    assert [(row.label, row.against) for row in found] == [
        ("judged_good", ""),
        ("judged_bad", ""),
        ("judged_bad", "judged_good"),
    ]
    base = numpy.mean(means["gpt"])
    assert [row.baseline for row in found] == pytest.approx([base, base, good.mean()])
    assert [row.finetuned for row in found] == pytest.approx([good.mean(), bad.mean(), bad.mean()])
    between, expected = found[-1], new_questions_and_groups(bad.tolist(), good.tolist())
    limits = [between.ci_low_new_questions, between.ci_high_new_questions, between.p_new_questions]
    assert limits == pytest.approx([expected.low, expected.high, expected.p])
    assert between.runs == 2, "of the smaller group"
    assert (between.scored_baseline, between.scored_finetuned) == (60, 90)
    assert left_out(groups) == []
    assert "over 3 and 2 fine-tunes" in verdicts(groups, compare(groups))[0].begins


def test_results_of_one_label_are_pooled_whatever_file_they_come_from_but_not_on_two_scales(tmp_path, data):
    parts = {name: as_csv(tmp_path / f"{name}.csv", long_rows(made_scores(10, 4 + n))) for n, name in enumerate("abc")}
    for name, scale in {"a": "0-10", "b": "0-10", "c": "0-100"}.items():
        import_file(parts[name], choices=choices_of(scale=scale))
    first, second, third = (Run.find_all(f"{name}/imported") for name in parts)
    (group,) = grouped([first, second], ["tuned", "tuned"])
    row = next(row for row in compare([group]) if row.tier == "all" and not row.question_id)
    own = [next(e for e in run.estimates() if e.tier == "all" and not e.question_id) for run in group.runs]
    assert [row.runs, row.difference] == pytest.approx([2, numpy.mean([effect.difference for effect in own])])
    with pytest.raises(UserError, match=r"the judge 'score' has a scale from 0 to 10 in .* with the same --scale"):
        grouped([first, third], ["tuned", "tuned"])
    assert "scales differ" in left_out(grouped([first, third], ["one", "other"]))[0]
