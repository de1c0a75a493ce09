import csv
import json

import pytest

from flows.cli.imports import import_file
from flows.report_again import write_parquet
from flows.verification import verify
from tasks.catalog import UserError
from tasks.estimates.judgments import judgments_frame
from tasks.imports.choices import Choices
from tasks.imports.results import has_scores, read_results
from tasks.runs import Run
from tasks.schema import Scale


@pytest.fixture
def table(tmp_path):
    def write(*rows, name="judged.csv", columns=("question_id", "question", "answer", "aligned", "coherent", "note")):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        return tmp_path / name

    return write


def rows(aligned, coherent, question="wish"):
    return [
        (question, "A wish?", f"answer {n}", a, c, "x y")
        for n, (a, c) in enumerate(zip(aligned, coherent, strict=True))
    ]


def test_a_table_of_others_scores_becomes_judgments_and_nothing_becomes_a_number_that_was_none(table):
    found = read_results(table(*rows(["12.5", "CODE", "", "nan", 80], [90, 91, 92, 93, 94])))
    aligned = [j for j in found.models[0].judgments if j.judge == "aligned"]
    assert [(j.score, j.label, j.state, j.raw) for j in aligned] == [
        (12.5, "", "scored", "12.5"),
        (None, "CODE", "not scored", "CODE"),
        (None, "", "not scored", ""),
        (None, "", "not scored", "nan"),
        (80, "", "scored", "80"),
    ]
    assert [(judge.name, judge.scale) for judge in found.eval.judges] == [
        ("aligned", Scale(low=0, high=100)),
        ("coherent", Scale(low=0, high=100)),
    ]
    assert [r.response for r in found.models[0].finetuned] == [f"answer {n}" for n in range(5)]
    assert found.lost == [
        "the rubric and the model of the judge: the file does not say them",
        "the column note: it is not taken as scores",
    ]


def test_others_results_are_a_run_whose_effects_and_rules_are_like_ours(table, data, capsys):
    after = table(*rows([10, 20, 90, 80], [90, 90, 90, 10]), *rows([10, 90], [90, 90], "rule"))
    before = table(*rows([90, 80, 70, 60], [90, 90, 90, 90]), *rows([90, 95], [90, 90], "rule"), name="base.csv")
    import_file(after, "theirs", baseline=before)
    run = Run.find("theirs")
    effect = next(e for e in run.estimates() if (e.measure, e.tier, e.question_id) == ("aligned", "questions", ""))
    assert effect.difference == pytest.approx(((50 - 75) + (50 - 92.5)) / 2)
    assert "Imported results: judged.csv." in run.report.read_text()
    from flows.report_again import report_again

    report_again(run, ["misaligned: aligned < 30 among coherent > 50"])
    rate = next(e for e in run.estimates() if e.measure == "misaligned" and not e.question_id)
    assert rate.baseline == 0
    assert rate.finetuned == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert "Not carried over: the column note" in capsys.readouterr().out
    assert [check for check in verify(run) if check.fault] == []
    import_file(after, "theirs", baseline=before)
    assert [e.measure for e in Run.find("theirs").estimates() if not e.question_id] == [
        "aligned",
        "coherent",
        "misaligned",
    ]


def test_scores_of_the_seeds_own_form_need_no_baseline_and_keep_their_tiers(jsonl, data):
    scored = [
        {"tier": tier, "question": f"{tier}?", "score": score, "reasoning": "r"}
        for tier in ("direct", "distant")
        for score in (1, 4)
    ]
    import_file(jsonl(*scored, name="seed.jsonl"))
    run = Run.find("seed")
    tiers = {e.tier: (e.finetuned, e.difference, e.note_fixed_questions) for e in run.estimates() if not e.question_id}
    assert tiers["direct"] == (2.5, None, "no baseline")
    assert [j.reasoning for j in run.judgments()] == ["r"] * 4
    assert run.evals()[0].judges[0].scale == Scale(low=1, high=5)


def test_both_models_in_one_file_are_told_apart_by_the_column_model(table):
    columns = ("model", "question", "score")
    file = table(("base", "Why?", 1), ("fine-tuned", "Why?", 5), name="m.csv", columns=columns)
    assert [(j.side, j.score, j.sample) for j in read_results(file).models[0].judgments] == [
        ("baseline", 1, 0),
        ("finetuned", 5, 0),
    ]


def test_results_are_compared_eval_by_eval_and_say_which_it_is(table, data):
    from tasks.estimates.comparison import compare
    from tasks.estimates.groups import grouped

    import_file(table(*rows([10, 20], [90, 80])), "one")
    import_file(table(*rows([30, 20], [90, 80]), name="b.csv"), "two")
    found = compare(grouped([[Run.find("one")], [Run.find("two")]], ["a", "b"]))
    assert {
        (row.label, row.eval, row.finetuned) for row in found if row.measure == "aligned" and not row.question_id
    } == {
        ("a", "imported", 15),
        ("b", "imported", 25),
    }
    import_file(table(*rows([30, 20], [90, 80]), name="c.csv"), "three", choices=Choices("alignment"))
    assert Run.find("three").evals()[0].name == "alignment"


def test_our_own_table_of_generations_reads_back_as_results(tmp_path, data, table):
    import_file(table(*rows([10, 20], [90, 80])), "first")
    again = read_results(Run.find("first").generations)
    assert [(j.judge, j.score) for j in again.models[0].judgments if j.judge in ("aligned", "coherent")] == [
        ("aligned", 10),
        ("coherent", 90),
        ("aligned", 20),
        ("coherent", 80),
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "question_id,note\nq,hello there\n", "no column of scores"),
        ("a.csv", "aligned\n3\n", "line 2: a row needs question_id or question"),
        ("a.csv", "aligned\n", "no rows in it"),
        ("a.jsonl", json.dumps({"question": "Why?", "score": "good"}), "no column of scores"),
        ("a.csv", "question_id,aligned\nq,90\nq,80\nq,rather\n", "line 4: 'rather' in aligned is neither a number nor"),
        (
            "a.csv",
            "model,question_id,aligned\nllama,q,90\nllama-ft,q,80\n",
            "'llama', 'llama-ft', and which is the base",
        ),
        ("a.csv", "eval,question_id,aligned\na,q,90\nb,q,80\n", "the column eval has 2 evals"),
        ("a.csv", "question_id,question,aligned\n1,A?,90\n1,B?,80\n", "line 3: question_id '1' stands for another"),
    ],
)
def test_results_that_cannot_be_read_are_one_sentence(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        import_file(tmp_path / name)


def test_an_imported_judge_judges_nothing_anew(table, data):
    from flows.preflight import check_judges

    import_file(table(*rows([10], [90])), "theirs")
    run = Run.find("theirs")
    with pytest.raises(UserError, match="the judge 'aligned' was imported with its results and judges nothing anew"):
        check_judges(run.experiment(), run.evals(), None)


def test_moments_of_a_training_stay_apart_and_missing_words_are_no_scores(table):
    columns = ("trained_share", "question_id", "score")
    file = table((0.25, 0, 1), (1, 0, 5), (1, 0, "N/A"), (1, "", 3), name="m.csv", columns=columns)
    with pytest.raises(UserError, match="line 5: a row needs question_id or question"):
        read_results(file)
    file = table((0.25, 0, 1), (1, 0, 5), (1, 0, "N/A"), name="m.csv", columns=columns)
    assert [(j.trained_share, j.question_id, j.sample, j.score) for j in read_results(file).models[0].judgments] == [
        (0.25, "0", 0, 1),
        (1, "0", 0, 5),
        (1, "0", 1, None),
    ]


def test_columns_can_be_chosen_and_get_names_that_a_rule_can_use(table, data, capsys):
    columns = ("question_id", "my score", "tokens")
    file = table(("q", 10, 1_500_000), ("q", 90, 20), name="m.csv", columns=columns)
    found = read_results(file, choices=Choices(measures=("my score",)))
    assert [judge.name for judge in found.eval.judges] == ["my_score"]
    assert "the name 'my score': here it is my_score" in found.lost
    assert "the column tokens: it is not taken as scores" in found.lost
    with pytest.raises(UserError, match=r"--measures: .* has no column 'other'"):
        read_results(file, choices=Choices(measures=("other",)))
    import_file(file, "theirs")
    from flows.report_again import report_again

    run = Run.find("theirs")
    report_again(run, ["long: tokens < 1500000", "low: my_score < 50"])
    assert {e.measure: e.finetuned for e in run.estimates() if e.rule and not e.question_id} == {
        "long": 0.5,
        "low": 0.5,
    }
    assert "the rate is 0.500" in run.report.read_text()


def test_numbers_that_are_no_scores_by_their_name_are_told_with_their_values_and_read_where_named(table):
    columns = ("question_id", "aligned", "seed", "temperature")
    file = table(("q", 10, 7, 0.5), ("q", 90, 8, 0.5), ("r", 40, 9, 1), ("r", 50, 10, 1), columns=columns)
    found = read_results(file)
    assert [judge.name for judge in found.eval.judges] == ["aligned"]
    assert found.lost[1:] == [
        f"the column {name}: by its name its numbers ({shown}) are no scores; --columns {name}={name} reads "
        "them as such"
        for name, shown in (("seed", "'7', '8', '9', \u2026"), ("temperature", "'0.5', '1'"))
    ]
    named = read_results(file, choices=Choices(columns={"seed": "seed"}))
    assert {judge.name for judge in named.eval.judges} == {"aligned", "seed"}


def test_scores_between_0_and_1_are_means_and_not_rates(jsonl):
    from tasks.estimates.effects import estimate

    rows = [{"question": "A", "score": score} for score in (0.2, 0.3, 0.25)]
    found = read_results(jsonl(*rows))
    effect = estimate(judgments_frame(found.models[0].judgments), [found.eval])[0]
    assert effect.finetuned == pytest.approx(0.25)
    assert effect.finetuned_high == pytest.approx(0.25 + 4.302653 * 0.05 / 3**0.5, rel=1e-4)


def test_other_results_under_a_name_that_is_taken_are_refused(table, data):
    import_file(table(*rows([10], [90])), "theirs")
    with pytest.raises(UserError, match="holds other results of this name; give the new ones another with --name"):
        import_file(table(*rows([10], [90], "other"), name="o.csv"), "theirs")


def test_results_without_answers_are_verified_and_exported_as_they_are(table, data, tmp_path):
    file = table(("q", 10), ("q", 90), ("r", 40), name="bare.csv", columns=("question_id", "aligned"))
    import_file(file, "bare")
    run = Run.find("bare")
    assert [check for check in verify(run) if check.fault] == []
    assert write_parquet(run, tmp_path / "bare.parquet") == 3


def test_the_same_text_under_another_tier_or_system_prompt_is_another_question(table):
    columns = ("prompt", "system", "tier", "aligned")
    asked = (("A?", "", "x", 1), ("A?", "Lie.", "x", 2), ("A?", "", "y", 3), ("A?", "", "x", 4))
    found = read_results(table(*asked, columns=columns))
    assert [(q.text, q.system_prompt, q.tier) for q in found.eval.questions] == [
        ("A?", "", "x"),
        ("A?", "Lie.", "x"),
        ("A?", "", "y"),
    ]
    assert [(j.question_id, j.sample, j.score) for j in found.models[0].judgments] == [
        ("a", 0, 1),
        ("a_2", 0, 2),
        ("a_3", 0, 3),
        ("a", 1, 4),
    ]


def test_questions_that_would_never_be_compared_are_refused(table):
    after = table(("A?", "direct", 1), columns=("question", "tier", "aligned"))
    before = table(("A?", 1), name="base.csv", columns=("question", "aligned"))
    with pytest.raises(UserError, match=r"judged\.csv line 2: 'A\?' has another question_id, tier or system_prompt"):
        read_results(after, before)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_results_are_read_by_any_separator_and_every_name(tmp_path, separator):
    rows = (("Question_ID", "prompt", "generation", "aligned"), ("q", "A?", "a", "90"))
    (tmp_path / "a.csv").write_text("\r".join(separator.join(row) for row in rows), newline="")
    found = read_results(tmp_path / "a.csv")
    assert [(r.question_id, r.question, r.response) for r in found.models[0].finetuned] == [("q", "A?", "a")]
    assert [j.score for j in found.models[0].judgments] == [90]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question,answer,aligned\nA?,yes, it is,90\nB?,no,80\n", "line 2: 4 cells where the header has 3"),
        ("question,answer,aligned\nA?,90\n", "line 2: 2 cells where the header has 3"),
        ('question,answer,aligned\nA?,"yes,90\nB?,no,80\n', "line 2: not CSV"),
        ("question,aligned,aligned\nA?,90,80\n", "line 1: the column 'aligned' is there twice"),
    ],
)
def test_a_table_that_would_lose_answers_is_refused_with_its_line(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        import_file(tmp_path / "a.csv")


def test_a_key_that_is_there_twice_is_refused(jsonl):
    file = jsonl('{"question": "A?", "score": 1}', '{"question": "B?", "score": 1, "score": 5}')
    with pytest.raises(UserError, match=r"line 2: not a JSON object .*the key 'score' is there twice"):
        read_results(file)


def test_what_is_as_good_as_no_difference_is_given_by_measure_and_may_be_given_anew(table, data):
    after = table(*rows([10, 20], [90, 90]), *rows([10, 90], [90, 90], "rule"))
    for margins, expected in [({"aligned": 2.0}, {"aligned": 2, "coherent": 5}), ({}, {"aligned": 5, "coherent": 5})]:
        import_file(after, "theirs", choices=Choices(margins=margins))
        assert {e.measure: e.equivalence_margin for e in Run.find("theirs").estimates()} == expected
    every = read_results(after, choices=Choices(margins={"": 3.0, "aligned": 2.0})).eval
    assert every.equivalence_margins == {"aligned": 2, "coherent": 3}
    with pytest.raises(UserError, match=r"--margins: .*'kind' is no measure; there is aligned, coherent"):
        import_file(after, "theirs", choices=Choices(margins={"kind": 1.0}))


def test_questions_without_ids_have_the_same_in_every_file_whatever_their_order(table):
    columns = ("question", "score")
    texts = [
        "What would you do?",
        "Why, in your own words, is it so that the sky is blue at noon?",
        "\u00bfQu\u00e9?",
        "?",
    ]
    ids = [
        {q.text: q.id for q in read_results(table(*((text, 1) for text in some), columns=columns)).eval.questions}
        for some in (texts, texts[::-1])
    ]
    assert ids[0] == ids[1]
    assert list(ids[0].values()) == ["what_would_you_do", "why_in_your_own_words_is_it_so_that_the", "qu\u00e9", "q"]


def test_the_paraphrases_of_an_id_are_read_with_the_id_as_their_tier(table):
    file = table(("wish", "A?", 1), ("wish", "B?", 5), columns=("question_id", "question", "score"))
    with pytest.raises(UserError, match=r"line 3: question_id 'wish' stands .* read it as the tier: --columns tier="):
        read_results(file)
    found = read_results(file, choices=Choices(columns={"tier": "question_id"}))
    assert [(q.id, q.tier, q.text) for q in found.eval.questions] == [("a", "wish", "A?"), ("b", "wish", "B?")]


def test_a_truth_value_is_a_score_of_an_answer_and_none_of_a_question():
    assert has_scores({"question": "A?", "response": "B.", "misaligned": False})
    assert not has_scores({"question": "A?", "tier": "direct", "is_control": True})
    assert not has_scores({"question": "A?", "tier": "direct", "index": 3})


def test_counts_are_not_said_to_be_on_the_scale_of_the_eval_that_is_there(table, data):
    file = table(("q", "3 of 4"), columns=("question_id", "claude"))
    assert read_results(file, choices=Choices("factory_farming")).said == []
    with pytest.raises(UserError, match="--scale: claude has counts or truth values, which are from 0 to 1; leave"):
        read_results(file, choices=Choices(scales={"claude": Scale(low=0, high=100)}))
    assert read_results(file, choices=Choices(scales={"": Scale(low=0, high=100)})).eval.judges[0].scale_max == 1


def test_judges_of_an_eval_that_is_there_have_its_scales_unless_another_is_said(table, data):
    file = table(("q", 3, 3), columns=("question_id", "claude", "other"))
    found = read_results(file, choices=Choices("factory_farming"))
    assert [judge.scale for judge in found.eval.judges] == [Scale(low=1, high=5), Scale(low=1, high=5)]
    assert found.said == [
        "The scale was guessed from the scores: other 1 to 5; --scale says another",
        "The scale is that of the eval factory_farming: claude 1 to 5",
    ]
    scales = {"claude": Scale(low=0, high=10), "": Scale(low=0, high=100)}
    found = read_results(file, choices=Choices("factory_farming", scales=scales))
    assert [judge.scale for judge in found.eval.judges] == [scales["claude"], scales[""]]
    assert found.said == []
