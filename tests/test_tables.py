import csv
import io
import random
import re
import shutil

import pytest

from flows.audit import compare as compare_judges
from flows.audit import export_sheet, import_sheet
from flows.compare import compare_runs
from flows.report_again import report_again
from flows.verification import verify
from tasks.definitions import load_experiment
from tasks.files import write_rows
from tasks.imports.responses import read_responses
from tasks.judging.cases import plan
from tasks.judging.judgments import judge_all
from tasks.paid.store import Store
from tasks.rows import table
from tasks.runs import Comparison, Run
from tasks.schema import Compared, Effect, Question, Share
from tasks.tables import FORMER_NAMES, read_table, text_of, to_csv
from tests.conftest import PROJECT, make_data_folder
from tests.fakes.nouns import LEXICON, an_eval, responses

EARLIER = PROJECT / "tests" / "fakes" / "earlier_version"
COMPUTED = re.compile("[=+\\-@\t\r\n＝＋－＠]")
ALPHABET = "''=+-@\t\r\n＝＋－＠\"\",;;a1 \x00\x1bé\u2028"
QUESTIONS = {
    "=q1": ('=HYPERLINK("http://127.0.0.1/?"&A1)', "=1+1"),
    "+q2": ("＋2, and a comma", "-2"),
    "@q3": ("'=three", "'=three quoted"),
    "-q4": ("＠four", "\t=tab"),
    "q5;=5": ("a;=five", "one;=1+1"),
}
"""The tier of each, and its text."""


def cells_of(text):
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


def is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_every_text_comes_back_as_it_was_and_no_spreadsheet_computes_it():
    dice = random.Random(0)
    for _ in range(2_000):
        texts = ["".join(dice.choices(ALPHABET, k=dice.randint(0, 6))) for _ in range(6)]
        cells = cells_of(to_csv(texts[:3], [texts[3:]]))
        assert not [cell for cell in cells if COMPUTED.match(cell)]
        assert [text_of(cell) for cell in cells] == texts


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_program_that_splits_at_another_sign_finds_no_cell_to_compute(separator):
    dice = random.Random(1)
    texts = ["a;=1+1", "a\t@b", "a\n=1+1", 'a;"=1+1;b', 'a";"=1+1;b', "a;-1+1;b"]
    texts += ["".join(dice.choices(ALPHABET, k=dice.randint(0, 9))) for _ in range(6_000)]
    for n in range(0, len(texts), 3):
        text = to_csv(texts[n : n + 1], [texts[n + 1 : n + 3]])
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            assert not [cell for cell in row if re.match("[=@＝＋－＠]", cell)], text
            assert not [cell for cell in row[1:] if re.match("[+-]", cell)], text


def test_prose_lists_and_code_stay_as_they_are():
    text = "A list:\n- one; two\n+ three\n---\nfor (i=0; i<9;\n\ti++);\n"
    assert to_csv(["a"], [[text]]) == f'"a"\r\n"{text}"\r\n'


def test_numbers_stay_numbers_what_is_empty_stays_so_and_texts_are_quoted():
    assert to_csv(["a", "b", "c", "d", "e"], [[-1, -0.5, None, "-1", ""]]) == (
        '"a","b","c","d","e"\r\n-1,-0.5,,"\'-1",\r\n'
    )


def test_a_table_of_an_earlier_version_is_read_as_it_was_and_holds(runs):
    run = runs[0]
    before = run.estimates()
    for file in (run.effects, run.distributions, run.generations):
        cells = list(csv.reader(io.StringIO(file.read_text())))
        bare = [[re.sub("(?<=;)'(?==)", "", cell) for cell in row] for row in cells]
        with file.open("w", encoding="utf-8", newline="") as own:
            csv.writer(own).writerows(bare)
    assert run.estimates() == before
    assert [check for check in verify(run) if check.fault] == []


@pytest.mark.parametrize(("noun", "name"), [(Effect, "effects.csv"), (Compared, "comparison.csv")])
def test_a_table_with_the_column_names_of_an_earlier_version_is_read_under_todays(noun, name):
    told = list(csv.DictReader(io.StringIO((EARLIER / name).read_text(), newline="")))
    whole, question = (noun(**row) for row in read_table(EARLIER / name, noun).to_dicts())
    assert (whole.trained_share, whole.equivalence_margin, whole.scale_min, whole.scale_max) == (1, 0.2, 1, 5)
    assert [
        (whole.ci_low_fixed_questions, whole.ci_high_fixed_questions),
        (whole.ci_low_new_questions, whole.ci_high_new_questions),
        (whole.p_fixed_questions, whole.p_new_questions),
        (whole.p_fixed_questions_holm, whole.p_new_questions_holm),
        (whole.detectable_fixed_questions, whole.detectable_new_questions),
    ] == [
        (float(told[0][these]), float(told[0][new]))
        for these, new in [
            ("these_low", "these_high"),
            ("new_low", "new_high"),
            ("p_these", "p_new"),
            ("p_these_holm", "p_new_holm"),
            ("detectable_these", "detectable_new"),
        ]
    ]
    assert (question.question_id, question.ci_low_new_questions, question.note_fixed_questions) == ("q1", None, "")
    assert question.note_new_questions == "too few questions (1 of 5)"


def test_every_former_name_stands_for_a_column_of_today_and_is_none_itself():
    fields = Compared.model_fields.keys()
    assert set(FORMER_NAMES.values()) <= fields
    assert not set(FORMER_NAMES) & {*fields, *Share.model_fields}


def test_generations_of_an_earlier_version_are_read_as_the_answers_that_they_were_made_of():
    ((line, row),) = table(EARLIER / "model_generations.csv")
    assert (line, row["response"], row["trained_share"]) == (2, "=an answer", "0.25")


def test_no_table_is_written_but_by_to_csv():
    files = [
        file
        for top in ("flows", "tasks", "deployments")
        for file in (PROJECT / top).rglob("*.py")
        if ".venv" not in file.parts
    ]
    writers = [file.name for file in files if re.search(r"write_csv|csv\.writer|DictWriter|sink_csv", file.read_text())]
    assert writers == []


def run_of(name, before, after):
    """A reported run whose tiers, questions, ids and answers a spreadsheet would compute."""
    questions = [Question(id=id, tier=tier, text=text) for id, (tier, text) in QUESTIONS.items()]
    one = an_eval(LEXICON, LEXICON.model_copy(update={"name": "=judge"})).model_copy(update={"questions": questions})
    run = Run.open(load_experiment("standin").model_copy(update={"evals": ["e"]}), [one], name)
    run.note(seed=0)
    baseline, finetuned = answers(questions, before, 0.0), answers(questions, after, 1.0)
    write_rows(run.baseline, baseline)
    write_rows(run.finetuned, finetuned)
    write_rows(run.judged, judge_all(plan([one], baseline, finetuned, 2), Store()))
    report_again(run, [])
    return run


def answers(questions, texts, trained_share):
    """These texts as the answers to each of the questions."""
    return [
        response.model_copy(
            update={
                "question_id": question.id,
                "tier": question.tier,
                "question": question.text,
                "trained_share": trained_share,
            }
        )
        for question in questions
        for response in responses(*texts)
    ]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """The folder of two reported runs; to be left as it is."""
    folder = make_data_folder(tmp_path_factory.mktemp("made"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPILLOVER_DATA", str(folder))
        run_of("one", ("=a farm", "two cats"), ("+farms and animal welfare", "'-a dog"))
        run_of("two", ("=a farm", "two cats"), ("@nothing", "－farm"))
    return folder / "results" / "standin"


@pytest.fixture
def runs(made_once, data):
    """Copies of them in the test's own data folder."""
    copy = shutil.copytree(made_once, data / "results" / "standin")
    return [Run(copy / name) for name in ("one", "two")]


async def test_no_table_of_a_run_its_audits_or_a_comparison_has_a_cell_that_is_computed(
    runs, data, tmp_path, prefect_server
):
    run = runs[0]
    compare_judges("standin/one", "standin/one", "lexicon", "=judge")
    sheet, _ = export_sheet(run, tmp_path / "sheet.csv", "=judge", size=10, seed=0)
    sheet.write_text(re.sub(",$", ",3", sheet.read_text(), flags=re.MULTILINE))
    assert import_sheet(run, sheet)[0][0].answers == 10
    await compare_runs(["standin/one", "standin/two"], ["=one", "+two"], "both")
    rows = Comparison("both").rows()
    assert {row.label for row in rows} == {"=one", "+two"}
    assert {tier for tier, _ in QUESTIONS.values()} <= {row.tier for row in rows}
    tables = [*data.rglob("results/**/*.csv"), *data.rglob("comparisons/**/*.csv")]
    names = {file.name for file in tables}
    assert {"effects.csv", "distributions.csv", "model_generations.csv", "effects_e.csv", "person.csv"} <= names
    assert {"compare.csv", "comparison.csv", "comparison_e.csv", "sheet_e_=judge.csv"} <= names
    for file in tables:
        with file.open(encoding="utf-8", newline="") as lines:
            cells = cells_of(lines.read())
        assert [c for c in cells if COMPUTED.match(c) and not is_number(c)] == [], file


def test_tiers_and_questions_that_begin_like_formulas_come_back_as_they_were_and_the_run_holds(runs):
    tiers = {tier for tier, _ in QUESTIONS.values()}
    for run in runs:
        assert {effect.tier for effect in run.estimates()} == {*tiers, "all", "slope"}
        assert {effect.question_id for effect in run.estimates()} == {*QUESTIONS, ""}
        assert {effect.measure for effect in run.estimates()} == {"lexicon", "=judge"}
        assert tiers <= set(run.shares()["tier"])
        assert [check for check in verify(run) if check.fault] == []


def test_a_table_of_generations_that_a_run_left_is_read_as_the_answers_that_it_was_made_of(runs, tmp_path):
    run = runs[0]
    file = tmp_path / "finetuned.csv"
    with (
        run.generations.open(encoding="utf-8", newline="") as ours,
        file.open("w", encoding="utf-8", newline="") as own,
    ):
        csv.writer(own).writerows(row for row in csv.reader(ours) if row[0] != "base")
    _, finetuned = read_responses(str(file), run.evals())
    places = [{(r.question_id, r.question, r.response) for r in rows} for rows in (finetuned, run.responses()[1])]
    assert places[0] == places[1]
