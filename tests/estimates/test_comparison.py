import numpy
import polars
import pytest
from prefect.client.orchestration import get_client
from scipy import stats

from flows.compare import compare_runs
from tasks.catalog import UserError
from tasks.estimates.comparison import compare, left_out
from tasks.estimates.effects import estimate, write_effects
from tasks.estimates.groups import grouped
from tasks.estimates.judgments import scan_judgments
from tasks.estimates.new_questions import new_questions, new_questions_and_seeds
from tasks.files import write_rows
from tasks.report.charts import draw_comparison
from tasks.report.comparison_page import render
from tasks.runs import Comparison, Run
from tasks.schema import Judge, Rule, Scale
from tests.estimates.conftest import AFTER, BEFORE, JUDGE, QUESTIONS, known, rows_of
from tests.fakes.nouns import an_eval, responses
from tests.fakes.statements import a_statement_eval, drift_rows, yes_rows


def whole(rows, measure="j"):
    return next(row for row in rows if row.measure == measure and not row.question_id)


def test_the_seeds_of_one_definition_are_pooled_and_crossed_with_the_questions(make_run):
    runs = [make_run(seed, after) for seed, after in enumerate(AFTER)]
    (group,) = grouped([[run] for run in runs], [])
    assert (group.label, len(group.runs)) == ("x", 3)
    row = whole(compare([group]))
    own = [whole(run.estimates()) for run in runs]
    assert row.difference == pytest.approx(sum(e.difference for e in own) / 3)
    differences = [[sum(a) / 3 - sum(b) / 3 for a, b in zip(after, BEFORE, strict=True)] for after in AFTER]
    expected = new_questions_and_seeds(differences)
    assert (row.ci_low_new_questions, row.ci_high_new_questions) == pytest.approx((expected.low, expected.high))
    assert (row.runs, row.scored_baseline, row.scored_finetuned) == (3, 18, 54)
    assert row.ci_high_fixed_questions - row.ci_low_fixed_questions < min(
        e.ci_high_fixed_questions - e.ci_low_fixed_questions for e in own
    )


def test_a_baseline_that_the_runs_do_not_share_is_counted_for_each(make_run):
    other = [[3, 1, 1], *BEFORE[1:]]
    runs = [make_run(0, AFTER[0]), make_run(1, AFTER[1], before=other)]
    assert whole(compare(grouped([runs], ["both"]))).scored_baseline == 36


@pytest.mark.parametrize("rules", [[], [Rule(name="high", hit="j >= 3")]], ids=["score", "rule"])
def test_a_baseline_judgment_that_failed_in_one_run_changes_nothing_of_a_shared_baseline(make_run, rules):
    failed = [[None, *BEFORE[0][1:]], *BEFORE[1:]]
    rows = []
    for experiment, before in (("whole", BEFORE), ("failed", failed)):
        runs = [
            make_run(seed, AFTER[seed], experiment, before if seed == 1 else BEFORE, rules=rules) for seed in (0, 1, 2)
        ]
        for run in runs:
            write_rows(run.baseline, responses("a", "b", "c"))
        rows.append(compare(grouped([runs], ["a"])))
    assert rows[0] == rows[1]
    assert whole(rows[1]).scored_baseline == 18


def test_runs_with_other_answers_share_no_baseline_though_the_same_was_said_of_them(make_run):
    runs = [make_run(seed, AFTER[seed]) for seed in (0, 1)]
    for run in runs:
        write_rows(run.baseline, responses("a", "b", run.name))
    assert whole(compare(grouped([runs], ["a"]))).scored_baseline == 36


def test_results_without_answers_share_the_baseline_of_the_measures_of_which_the_same_was_said(make_run):
    other = Judge(name="k", kind="claude", prompt="?")
    runs = [make_run(seed, AFTER[seed]) for seed in (0, 1)]
    for run in runs:
        (evaluation,) = run.evals()
        run.replace_evals([evaluation.model_copy(update={"judges": [*evaluation.judges, other]})])
        before = BEFORE if run.name == "seed-0" else [[3, 1, 1], *BEFORE[1:]]
        more = [row.model_copy(update={"judge": "k"}) for row in rows_of(AFTER[0], before)]
        write_rows(run.judged, [*run.judgments(), *more])
    rows = compare(grouped([runs], ["a"]))
    assert [whole(rows, measure).scored_baseline for measure in ("j", "k")] == [18, 36]


def test_one_run_alone_keeps_its_own_effects_and_other_definitions_are_called_by_their_runs(make_run):
    runs = [make_run(0, AFTER[0]), make_run(1, AFTER[1], rank=4), make_run(0, AFTER[2], experiment="y")]
    groups = grouped([[run] for run in runs], [])
    assert [group.label for group in groups] == ["x/seed-0", "x/seed-1", "y"]
    rows = compare(groups)
    found, own = whole(rows).model_dump(), whole(runs[0].estimates()).model_dump()
    assert {name for name in own if found[name] != own[name]} == {"p_fixed_questions_holm", "p_new_questions_holm"}


def test_a_rules_rates_are_pooled_over_seeds_like_scores(make_run):
    rule = Rule(name="high", hit="j >= 3")
    runs = [make_run(seed, after, rules=[rule]) for seed, after in enumerate(AFTER)]
    row = whole(compare(grouped([runs], [])), "high")
    rates = [[sum(score >= 3 for score in scores) / 3 for scores in after] for after in AFTER]
    assert row.finetuned == pytest.approx(sum(map(sum, rates)) / 18)
    assert row.rule == "j >= 3"
    assert row.ci_low_fixed_questions < row.difference < row.ci_high_fixed_questions


def test_a_pattern_names_all_runs_that_fit_it(make_run):
    runs = [make_run(seed, after) for seed, after in enumerate(AFTER)]
    assert [run.folder for run in Run.find_all("x/seed-*")] == [run.folder for run in runs]
    with pytest.raises(UserError, match="no run fits 'z/seed-"):
        Run.find_all("z/seed-*")


async def test_a_comparison_leaves_a_table_a_chart_and_a_page_with_every_label_escaped(make_run, prefect_server):
    for seed, after in enumerate(AFTER):
        make_run(seed, after)
    make_run(0, AFTER[1], experiment="y")
    make_run(1, AFTER[2], experiment="z")
    folder = await compare_runs(["x/seed-*", "y", "z"], ["<b>farms</b>", "control", "other"], "c", [0.0, 1.0, 2.5])
    place = Comparison("c")
    assert str(place.folder) == folder
    found = [(row.label, row.runs, row.against) for row in place.rows() if not row.question_id]
    assert found == [
        ("<b>farms</b>", 3, ""),
        ("control", 1, ""),
        ("other", 1, ""),
        ("<b>farms</b>", 1, "control"),
        ("other", 1, "control"),
    ]
    assert "everything against control" in place.page.read_text()
    assert "&lt;b&gt;farms&lt;/b&gt;: seed 1 has no partner in control." in place.page.read_text()
    assert place.pdf.read_bytes().startswith(b"%PDF-")
    assert {file.stem for file in (place.folder / "charts").iterdir()} == {
        "comparison_e",
        "matrix_e",
        "doses_e",
        "between_e",
    }
    page = place.page.read_text()
    assert "&lt;b&gt;farms&lt;/b&gt;" in page
    assert "<b>farms</b>" not in page
    assert "3 runs pooled, seeds 0, 1, 2" in page
    assert "between &lt;b&gt;farms&lt;/b&gt; and control:</p><ul><li>" in page
    async with get_client() as client:
        shown = [str(artifact.data) for artifact in await client.read_artifacts()]
    assert any("between \\<b\\>farms\\</b\\> and control:\n- " in text for text in shown)
    assert {file.suffix for file in (place.folder / "charts").iterdir()} == {".svg", ".png", ".pdf", ".html", ".csv"}


def test_a_run_without_effects_is_refused(make_run):
    from flows.compare import judged

    run = make_run(0, AFTER[0])
    run.effects.unlink()
    with pytest.raises(UserError, match="has no effects yet; finish it with"):
        judged("x/seed-0")


def test_a_single_run_equals_its_estimate(make_run):
    run = make_run(0, AFTER[0])
    fresh = estimate(scan_judgments(run.judged), run.evals())
    assert [row.difference for row in compare(grouped([[run]], []))] == pytest.approx([e.difference for e in fresh])


def test_every_later_run_is_set_against_the_first_paired_by_question(make_run):
    first, second = make_run(0, AFTER[0]), make_run(0, AFTER[1], experiment="y", before=[[5, 5, 5]] * 6)
    rows = compare(grouped([[first], [second]], []))
    against = [row for row in rows if row.against]
    assert {(row.label, row.against) for row in against} == {("y", "x")}
    differences = [sum(b) / 3 - sum(a) / 3 for a, b in zip(AFTER[0], AFTER[1], strict=True)]
    row = next(row for row in against if not row.question_id)
    assert row.difference == pytest.approx(sum(differences) / 6)
    expected = new_questions(differences)
    assert (row.ci_low_new_questions, row.ci_high_new_questions) == pytest.approx((expected.low, expected.high))
    assert (row.baseline, row.finetuned) == pytest.approx((sum(map(sum, AFTER[0])) / 18, sum(map(sum, AFTER[1])) / 18))


def test_questions_that_only_one_of_them_was_asked_have_no_part_in_fine_tune_against_fine_tune(make_run):
    first, second = make_run(0, AFTER[0]), make_run(0, AFTER[1], experiment="y")
    (evaluation,) = second.evals()
    other = evaluation.questions[0].model_copy(update={"text": "In other words?"})
    second.replace_evals([evaluation.model_copy(update={"questions": [other, *evaluation.questions[1:]]})])
    write_effects(second)
    rows = [row for row in compare(grouped([[first], [second]], [])) if row.against]
    assert next(row for row in rows if not row.question_id).questions == 5
    assert "q1" not in {row.question_id for row in rows}
    assert left_out(grouped([[first], [second]], [])) == [
        "y: 1 question was asked of it alone, of e (q1).",
        "x: 1 question was asked of it alone, of e (q1).",
    ]


@pytest.mark.parametrize("right", [{"matching": "No"}, {"accepted": ["5"]}], ids=["matching", "accepted"])
def test_questions_of_which_other_answers_are_right_have_no_partner(make_run, right):
    first, second = make_run(0, AFTER[0]), make_run(0, AFTER[1], experiment="y")
    for run, fields in ((first, {"matching": "Yes", "accepted": ["4"]}), (second, right)):
        (evaluation,) = run.evals()
        questions = [evaluation.questions[0].model_copy(update=fields), *evaluation.questions[1:]]
        run.replace_evals([evaluation.model_copy(update={"questions": questions})])
        write_effects(run)
    groups = grouped([[first], [second]], [])
    assert {row.question_id for row in compare(groups) if row.against} == {"", "q2", "q3", "q4", "q5", "q6"}
    assert left_out(groups) == [f"{label}: 1 question was asked of it alone, of e (q1)." for label in ("y", "x")]


def test_an_eval_that_not_every_run_of_a_group_has_is_said_whichever_run_stands_first(make_run):
    other = an_eval(JUDGE, questions={"q1": "direct"}).model_copy(update={"name": "of_one"})
    first, second = make_run(0, AFTER[0]), make_run(1, AFTER[1], more=[other])
    for run in (first, second):
        run.note(imported="judged.csv")
    groups = grouped([[first], [second]], ["x", "x"])
    assert left_out(groups) == ["x: the eval of_one is not of every run; it is not pooled."]


def test_seeds_are_paired_with_seeds_and_one_without_a_partner_is_said(make_run):
    first = [make_run(seed, AFTER[seed]) for seed in (0, 1)]
    second = [make_run(seed, AFTER[2 - seed], experiment="y") for seed in (0, 1)]
    rows = [row for row in compare(grouped([first, second], ["a", "b"])) if row.against and not row.question_id]
    differences = [
        [sum(b) / 3 - sum(a) / 3 for a, b in zip(AFTER[seed], AFTER[2 - seed], strict=True)] for seed in (0, 1)
    ]
    expected = new_questions_and_seeds(differences)
    assert (rows[0].ci_low_new_questions, rows[0].ci_high_new_questions) == pytest.approx((expected.low, expected.high))
    assert {row.note_seeds for row in rows} == {"two fine-tunes of a side: the seed is hardly told from the treatment"}
    unequal = grouped([first, second[1:]], ["a", "b"])
    row = next(row for row in compare(unequal) if row.against)
    alone = [sum(b) / 3 - sum(a) / 3 for a, b in zip(AFTER[1], AFTER[1], strict=True)]
    assert row.difference == pytest.approx(sum(alone) / 6)
    assert row.runs == 1
    assert row.note_seeds == "one fine-tune of a side: the seed is not told from the treatment"
    assert left_out(unequal) == ["a: seed 0 has no partner in b."]
    other = [make_run(seed, AFTER[seed - 1], experiment="z") for seed in (1, 2, 3)]
    assert left_out(grouped([first, other], ["a", "z"])) == ["z: seed 3 has no partner in a."]


def test_what_is_pooled_belongs_together_by_its_name_wherever_it_stands(make_run):
    """Of two runs one was asked for drift too, which stands before what both have."""
    runs = [make_run(seed, AFTER[seed], more=[a_statement_eval()]) for seed in (0, 1)]
    before, after = [0.3] * 18, [0.3 + n / 40 for n in range(18)]
    drifts = [row for question in QUESTIONS for row in drift_rows(question, (0.5, 0.4, 0.9))]
    write_rows(runs[0].likelihoods, [*drifts, *yes_rows(before, after)])
    write_rows(runs[1].likelihoods, yes_rows(before, after))
    groups = grouped([runs], ["a"])
    rows = {row.measure: row for row in compare(groups) if row.tier in ("direct", "all") and not row.question_id}
    assert set(rows) == {"j", "choice", "yes"}
    assert rows["yes"].difference == pytest.approx(sum(after) / 18 - 0.3)
    assert left_out(groups) == ["a: 1 of 2 runs have drift of e; it is not pooled."]


def test_another_fine_tune_is_never_taken_for_a_shared_baseline(make_run):
    none = [[1, 1, 1]] * 6
    first = [make_run(seed, none) for seed in (0, 1, 2)]
    second = [make_run(seed, AFTER[seed], experiment="y") for seed in (0, 1, 2)]
    rows = [row for row in compare(grouped([first, second], ["a", "b"])) if row.against and not row.question_id]
    assert (rows[0].scored_baseline, rows[0].scored_finetuned) == (54, 54)


def test_superiority_of_several_runs_has_no_interval_since_they_share_answers(make_run):
    row = whole(compare(grouped([[make_run(seed, after) for seed, after in enumerate(AFTER)]], ["a"])))
    assert 0.5 < row.superiority <= 1
    assert (row.superiority_low, row.superiority_high) == (None, None)


def test_measures_of_one_name_and_other_scales_are_not_set_against_each_other(make_run):
    first, second = make_run(0, AFTER[0]), make_run(0, AFTER[1], experiment="y")
    (evaluation,) = second.evals()
    wide = evaluation.judges[0].model_copy(update={"scale": Scale(low=0, high=100)})
    second.replace_evals([evaluation.model_copy(update={"judges": [wide]})])
    write_effects(second)
    groups = grouped([[first], [second]], [])
    assert not [row for row in compare(groups) if row.against]
    assert left_out(groups) == ["y against x: j of e is left out, since the scales differ (0 to 100; 1 to 5)."]


def test_a_comparison_of_runs_that_an_earlier_version_estimated_lacks_what_that_did_not_know(make_run):
    run = make_run(0, AFTER[0])
    old = run.effects_table().drop("p_fixed_questions", "p_fixed_questions_holm", "superiority", "equivalence_margin")
    run.effects.write_text(old.write_csv())
    row = whole(compare(grouped([[run]], [])))
    assert (row.p_fixed_questions, row.superiority) == (None, None)
    assert row.difference == pytest.approx(whole(estimate(scan_judgments(run.judged), run.evals())).difference)


def test_pooled_drift_sets_each_seeds_answers_against_what_the_base_model_says_of_them(make_run):
    """The baseline's answers are the same in all seeds; drift is of other answers in each."""
    base, gain = (-2.0, -3.0, -2.5), (0.5, 0.4, 0.9)
    for seed, (before, more) in enumerate(zip(base, gain, strict=True)):
        run = make_run(seed, AFTER[0])
        rows = [row for question in QUESTIONS for row in drift_rows(question, (more,) * 3)]
        write_rows(
            run.likelihoods, [r.model_copy(update={"baseline": before, "finetuned": before + more}) for r in rows]
        )
    runs = Run.find_all("x/seed-*")
    drift = whole(compare(grouped([runs], ["x"])), "drift")
    assert drift.baseline == pytest.approx(sum(base) / 3)
    assert drift.difference == pytest.approx(sum(gain) / 3)
    assert drift.ci_low_new_questions is not None
    assert drift.ci_high_new_questions is not None
    assert (drift.ci_low_new_questions + drift.ci_high_new_questions) / 2 == pytest.approx(drift.difference)


def test_statements_and_drift_stand_beside_the_controls_and_drift_is_a_size_there_too(make_run):
    more = [a_statement_eval()]
    runs = {name: make_run(0, AFTER[n], experiment=name, more=more) for n, name in enumerate(("x", "control"))}
    before = [0.3 + n / 40 for n in range(18)]
    after = {name: [p + 0.02 * (k + 1) * (1 + n % 3) for n, p in enumerate(before)] for k, name in enumerate(runs)}
    gains = {"x": [0.4, 0.5, 0.6], "control": [0.3, 0.3, 0.6]}
    for name, run in runs.items():
        drifts = [row for question in QUESTIONS for row in drift_rows(question, gains[name])]
        write_rows(run.likelihoods, drifts + yes_rows(before, after[name]))
        write_effects(run)
    groups = grouped([[run] for run in runs.values()], [])
    rows = compare(groups)
    beside = {(row.label, row.measure): row for row in rows if not row.against and row.tier in ("direct", "all")}
    assert [beside[name, "drift"].difference for name in runs] == pytest.approx([0.5, 0.4])
    assert {row.p_new_questions_holm for row in rows if row.measure == "drift"} == {None}
    between = {row.measure: row for row in rows if row.against and row.is_overall}
    assert set(between) == {"choice", "yes"}
    assert {(row.label, row.against) for row in between.values()} == {("x", "control")}, "treatment minus control"
    drift = next(row for row in rows if row.against and row.measure == "drift")
    assert (drift.baseline, drift.finetuned, drift.difference) == pytest.approx((0.4, 0.5, 0.1))
    assert (drift.p_fixed_questions, drift.p_new_questions, drift.p_fixed_questions_holm) == (None, None, None)
    assert drift.note_test == "in nats a token; a size and no test, since each fine-tune's is of its own answers"
    variances = numpy.array([numpy.var(some, ddof=1) / 3 / 6 for some in gains.values()])
    half = stats.t.ppf(0.975, variances.sum() ** 2 / (variances**2 / 12).sum()) * variances.sum() ** 0.5
    assert (drift.ci_low_fixed_questions, drift.ci_high_fixed_questions) == pytest.approx((0.1 - half, 0.1 + half))
    paired = [x - c for c, x in zip(after["control"], after["x"], strict=True)]
    expected = new_questions(paired)
    assert between["yes"].difference == pytest.approx(sum(paired) / 18)
    assert (between["yes"].ci_low_new_questions, between["yes"].ci_high_new_questions) == pytest.approx(
        (expected.low, expected.high)
    )
    assert between["yes"].note_fixed_questions.startswith("exact, since")
    place = Comparison("beside")
    draw_comparison(place, rows)
    page = render(place, groups, rows)
    assert page.count("in nats a token; no test") == 2
    assert page.count("in nats a token; a size and no test") == 1
    assert "The drift of x is 0.10 nats a token more than that of control." in page
    assert (place.charts / "comparison_statements.svg").is_file()


def test_p_is_adjusted_over_all_runs_of_the_comparison(make_run):
    runs = [[make_run(0, AFTER[0])], [make_run(0, AFTER[1], experiment="y")]]
    whole_rows = [row for row in compare(grouped(runs, [])) if not row.question_id and not row.against]
    smallest = min(whole_rows, key=lambda row: known(row.p_fixed_questions))
    assert smallest.p_fixed_questions_holm == pytest.approx(2 * known(smallest.p_fixed_questions))


def test_runs_that_were_asked_along_their_training_are_drawn_over_it(make_run):
    runs = [make_run(0, AFTER[0]), make_run(0, AFTER[1], experiment="y")]
    for run, early in zip(runs, (AFTER[2], BEFORE), strict=True):
        more = [j.model_copy(update={"trained_share": 0.5}) for j in rows_of(early) if j.side == "finetuned"]
        write_rows(run.judged, [*run.judgments(), *more])
        write_effects(run)
    groups = grouped([[run] for run in runs], [])
    rows = compare(groups)
    assert {(row.label, row.trained_share) for row in rows if not row.against} == {
        ("x", 1),
        ("x", 0.5),
        ("y", 1),
        ("y", 0.5),
    }
    place = Comparison("along")
    draw_comparison(place, rows)
    table = polars.read_csv(place.charts / "checkpoints_e.csv")
    found = {
        (row["label"], row["trained_share"]): row["difference"] for row in table.to_dicts() if row["tier"] == "direct"
    }
    assert found["y", 0.5] == 0
    page = render(place, groups, rows)
    assert "The difference over all questions along the training" in page
    assert page.count("<td>x</td>") == 1, (
        "earlier moments stand in the chart and the table file, not in the page's table"
    )
