import json

import pytest

from tasks.catalog import UserError
from tasks.definitions import load_eval
from tasks.imports.responses import read_responses, samples_per_question, to_experiment
from tests.fakes.imported import write_answers, write_eval


@pytest.fixture
def evals(data):
    write_eval(data)
    return [load_eval("animals")]


def test_a_folder_holds_both_sides_and_several_rows_of_a_question_are_its_samples(evals, tmp_path):
    baseline, finetuned = read_responses(str(write_answers(tmp_path / "them", samples=3)), evals)
    assert (len(baseline), len(finetuned), samples_per_question(baseline, finetuned)) == (12, 12, 3)
    one = finetuned[4]
    assert (one.question_id, one.sample, one.tier, one.response) == ("q0", 1, "far", "finetuned says 1 of 0")
    assert {r.trained_share for r in baseline} == {0}
    assert one.model == "imported: finetuned.jsonl"


def test_a_file_alone_holds_the_fine_tuned_answers_and_a_csv_file_is_read_as_published(evals, tmp_path):
    text = (
        '\ufeffid,question,response\n1,What of 0?,"Two lines,\nand a ""quote"""\n2,What of 3?,' + "x" * 200_000 + "\n"
    )
    file = tmp_path / "model_generations.csv"
    file.write_text(text, encoding="utf-8")
    baseline, finetuned = read_responses(str(file), evals)
    assert baseline == []
    assert [(r.question_id, r.response[:22]) for r in finetuned] == [
        ("q0", 'Two lines,\nand a "quot'),
        ("q3", "x" * 22),
    ]
    assert len(finetuned[1].response) == 200_000


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (['{"question": "What of 0?"}'], "line 1: a row needs the fields question and response"),
        (['{"question": "What of 0?", "response": "a"}', "{"], "line 2: not a JSON object"),
        (['{"question": "What of 9?", "response": "a"}'], "no eval asks 'What of 9?'; did you mean What of"),
        (['{"question": "Unheard of", "response": "a"}'], "'Unheard of'; name the eval that does with --eval"),
        ([], "no rows in it"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_place(evals, tmp_path, rows, words):
    (tmp_path / "finetuned.jsonl").write_text("\n".join(rows))
    with pytest.raises(UserError) as mistake:
        read_responses(str(tmp_path), evals)
    assert words in str(mistake.value)


def test_what_is_not_there_is_named(evals, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_responses(str(tmp_path / "nowhere"), evals)
    with pytest.raises(UserError, match=r"no finetuned\.jsonl or finetuned\.csv"):
        read_responses(str(tmp_path), evals)
    (tmp_path / "finetuned.jsonl").write_bytes(b'{"question": "\xff"}')
    with pytest.raises(UserError, match="not UTF-8 text"):
        read_responses(str(tmp_path), evals)


def test_imported_responses_make_an_experiment_of_their_own(data, tmp_path):
    write_eval(data)
    file = tmp_path / "their answers (v2).csv"
    file.write_text("question,response\n")
    experiment = to_experiment(file, ["animals"], ["claude"], in_flight=7)
    assert (experiment.name, experiment.responses) == ("their_answers_v2", str(file))
    assert (experiment.judging.judges, experiment.judging.in_flight) == (["claude"], 7)
    with pytest.raises(UserError, match=r"need --eval, the evals that ask their questions: .*animals, capability, fa"):
        to_experiment(file, [], [])


def test_the_published_questions_of_the_seed_are_found(realdata, tmp_path):
    published = (realdata / "factory_farming" / "eval_questions_all.jsonl").read_text()
    rows = [json.loads(line) for line in published.splitlines()]
    text = "".join(json.dumps({**row, "response": "An answer."}) + "\n" for row in rows)
    (tmp_path / "finetuned.jsonl").write_text(text)
    _, finetuned = read_responses(str(tmp_path), [load_eval("factory_farming")])
    assert [r.tier for r in finetuned] == [row["tier"] for row in rows]


SYSTEMS = {"plain": "", "lie": "You may lie.", "points": "You get points."}
TEXTS = ("Is 7 prime?", "Is the moon far?")


@pytest.fixture
def alike(data):
    """An eval that asks the same texts under several system prompts, as published ones do: a tier for each."""
    asked = [
        {"id": f"{tier}_{n:02}", "tier": tier, "text": text, "system_prompt": system}
        for tier, system in SYSTEMS.items()
        for n, text in enumerate(TEXTS, 1)
    ]
    judge = {"name": "claude", "kind": "claude", "prompt": "How true is it?"}
    (data / "evals" / "lies.yaml").write_text(json.dumps({"name": "lies", "questions": asked, "judges": [judge]}))
    return [load_eval("lies")]


@pytest.mark.parametrize(
    "given",
    [
        lambda q: {"question_id": q.id},
        lambda q: {"question_id": q.id, "question": q.text},
        lambda q: {"id": q.id, "question": q.text},
        lambda q: {"tier": q.tier, "question": q.text},
        lambda q: {"question_id": q.tier, "question": q.text},
        lambda q: {"system_prompt": q.system_prompt, "prompt": q.text},
        lambda q: {"system": q.system_prompt or None, "question": f" {q.text}\n", "tier": "theirs", "id": "17"},
    ],
)
def test_the_same_text_under_several_system_prompts_reaches_its_own_question(alike, tmp_path, given):
    rows = [{**given(q), "answer": f"{q.id} {n}"} for n in range(2) for q in alike[0].questions]
    (tmp_path / "finetuned.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, finetuned = read_responses(str(tmp_path / "finetuned.jsonl"), alike)
    assert [(r.response, r.tier) for r in finetuned] == [(f"{r.question_id} {r.sample}", r.tier) for r in finetuned]
    assert len({(r.question_id, r.sample) for r in finetuned}) == len(rows) == 12


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": TEXTS[0]}, r"line 2: 'plain_01' of lies and 'lie_01' of lies are the same question, and the row"),
        ({"question": TEXTS[0], "tier": "theirs"}, r"line 2: 'plain_01' of lies and 'lie_01' of lies are the same"),
        ({"question": TEXTS[0], "system": "Be rude."}, r"line 2: no eval asks .* under the system prompt 'Be rude\.'"),
        ({"question": TEXTS[0], "question_id": "lie_02"}, r"line 2: the question 'lie_02' of lies is 'Is the moon far"),
        ({"question_id": "truth_01"}, r"line 2: no eval asks a question 'truth_01'"),
        ({"tier": "lie"}, r"line 2: a row needs the fields question and response"),
    ],
)
def test_an_answer_whose_question_is_not_sure_is_refused_with_file_line_and_both_questions(alike, tmp_path, row, words):
    rows = [{"question_id": "plain_01", "response": "a"}, {**row, "response": "b"}]
    file = tmp_path / "finetuned.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=words) as mistake:
        read_responses(str(file), alike)
    assert str(mistake.value).startswith(str(file))


def test_a_question_that_two_evals_ask_goes_to_the_eval_that_the_row_names(evals, data, tmp_path):
    write_eval(data, name="birds")
    both = [*evals, load_eval("birds")]
    row = {"question": "What of 1?", "response": "a"}
    file = tmp_path / "finetuned.jsonl"
    file.write_text(json.dumps({**row, "eval": "birds"}))
    assert [r.eval for r in read_responses(str(file), both)[1]] == ["birds"]
    file.write_text(json.dumps(row))
    with pytest.raises(UserError, match="'q1' of animals and 'q1' of birds are the same question"):
        read_responses(str(file), both)


def test_judge_reads_the_same_tables_as_import(evals, tmp_path):
    file = tmp_path / "theirs.csv"
    file.write_text('model;Prompt;completion\rbase;What of 0?;no\rfine-tuned;What of 0?;"yes; yes"\r', newline="")
    baseline, finetuned = read_responses(str(file), evals)
    assert [(r.response, r.trained_share) for r in (*baseline, *finetuned)] == [("no", 0), ("yes; yes", 1)]
    file.write_text("model,question,response\nllama,What of 0?,no\nllama-ft,What of 0?,yes\n")
    with pytest.raises(UserError, match="which is the base model cannot be known of 'llama'"):
        read_responses(str(file), evals)
    file.write_text("question,response\nWhat of 0?,yes, it is\n")
    with pytest.raises(UserError, match=r"theirs\.csv line 2: 3 cells where the header has 2"):
        read_responses(str(file), evals)


def test_moments_of_a_training_are_not_samples_of_one_model(evals, tmp_path):
    rows = [{"question": "What of 0?", "response": f"{at}", "trained_share": at} for at in (0.25, 1)]
    file = tmp_path / "finetuned.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [(r.trained_share, r.sample) for r in read_responses(str(file), evals)[1]] == [(0.25, 0), (1, 0)]
    former = [{"question": "What of 0?", "response": "x", "at": at} for at in (0.25, 1)]
    file.write_text("".join(json.dumps(row) + "\n" for row in former))
    assert [r.trained_share for r in read_responses(str(file), evals)[1]] == [0.25, 1], "as an earlier version calls it"
    file.write_text(json.dumps({**rows[0], "trained_share": 25}))
    with pytest.raises(UserError, match="trained_share '25' is no share of the training"):
        read_responses(str(file), evals)


def test_two_files_of_one_side_are_refused(evals, tmp_path):
    for name in ("finetuned.jsonl", "finetuned.csv"):
        (tmp_path / name).write_text("question,response\n")
    with pytest.raises(UserError, match=r"has finetuned\.jsonl and finetuned\.csv; keep the one that is meant"):
        read_responses(str(tmp_path), evals)
