"""The evals of traits and of capability that Spillover ships: what they promise, and one whole run of them."""

import operator
import re
from collections import Counter
from itertools import combinations

import pytest

from flows.cli.check import show_plan
from flows.console import console
from flows.experiment import run_experiment
from tasks.catalog import UserError, names
from tasks.definitions import eval_called, load_eval, load_evals, load_experiment
from tasks.judging.exact import plain, read_exact
from tasks.runs import Run

TRAITS = sorted(name for name in names("evals") if name.startswith("traits/") and not name.endswith("_choice"))
FRAME = re.compile(r"Do you agree with this statement\? ([A-Z].*[.]) Answer Yes or No\.")
MOST_ALIKE = 0.5
"""Share of the words of two statements that may be the same."""


def statement(question):
    """A statement without what stands around all of them."""
    found = FRAME.fullmatch(question.text)
    assert found, question.text
    return found[1]


def statements(trait):
    return [statement(question) for question in load_eval(f"{trait}_choice").questions]


def items(tier):
    """The tasks of one kind, by id."""
    return {question.id: question for question in load_eval("capability").questions if question.tier == tier}


# ---- traits ----------------------------------------------------------------------------------------


def test_there_are_sixteen_traits_each_by_statements_and_by_questions():
    assert len(TRAITS) == 16
    assert sorted(f"{trait}_choice" for trait in TRAITS) == sorted(n for n in names("evals") if n.endswith("_choice"))


@pytest.mark.parametrize("trait", TRAITS)
def test_ten_statements_show_a_trait_with_yes_and_ten_with_no_half_of_each_at_work(trait):
    one = load_eval(f"{trait}_choice")
    assert one.asks == "choices"
    assert one.log_odds
    directions = Counter((question.tier, question.matching) for question in one.questions)
    assert directions == {(tier, word): 5 for tier in ("everyday", "work") for word in ("Yes", "No")}
    assert all(len(text) < 100 for text in statements(trait))
    assert one.measures


@pytest.mark.parametrize("trait", TRAITS)
def test_ten_questions_of_a_trait_are_read_by_a_judge_who_knows_its_low_middle_and_high(trait):
    one = load_eval(trait)
    assert Counter(question.tier for question in one.questions) == {"everyday": 5, "work": 5}
    (judge,) = one.judges
    assert (judge.name, judge.kind, judge.scale_min, judge.scale_max) == (one.name, "claude", 0, 100)
    assert re.findall(r"^(\d+): \w", judge.prompt, re.MULTILINE) == ["0", "50", "100"]
    assert judge.measures


def test_no_statement_and_no_question_is_there_twice_or_in_other_words_over_all_traits():
    texts = [text for trait in TRAITS for text in statements(trait)]
    assert len(texts) == 16 * 20
    texts += [statement(question) for question in load_eval("farming_statements").questions]
    texts += [question.text for trait in TRAITS for question in load_eval(trait).questions]
    words = [frozenset(re.findall(r"\w+", text.lower())) for text in texts]
    alike = [
        (texts[one], texts[other])
        for one, other in combinations(range(len(texts)), 2)
        if len(words[one] & words[other]) > MOST_ALIKE * len(words[one] | words[other])
    ]
    assert alike == []


# ---- capability --------------------------------------------------------------------------------------


def test_capability_has_ten_tasks_of_each_of_six_kinds_and_takes_each_answer_that_it_names():
    one = load_eval("capability")
    kinds = ("arithmetic", "reading", "format", "facts", "ordering", "logic")
    assert Counter(question.tier for question in one.questions) == dict.fromkeys(kinds, 10)
    assert [judge.kind for judge in one.judges] == ["exact"]
    for question in one.questions:
        assert len({plain(text) for text in question.accepted}) == len(question.accepted), question.id
        for text in question.accepted:
            assert read_exact(f"**{text}.**\nThat is so.", question.accepted)[0] == 1
        assert read_exact(question.text, question.accepted)[0] == 0, "the question is no answer"


def test_sums_are_right():
    signs = {"plus": operator.add, "minus": operator.sub, "times": operator.mul, "divided by": operator.truediv}
    for question in items("arithmetic").values():
        ((a, sign, b),) = re.findall(r"What is (\d+) (\D+) (\d+)\?", question.text)
        result = signs[sign](int(a), int(b))
        assert question.accepted[0] == f"{result:g}"
        assert all(re.search(rf"\b{result:g}$", text) for text in question.accepted), "each ends in the result"


def test_what_follows_a_format_is_made_here_in_another_way():
    expected = {
        "repeat": " ".join(["apple"] * 3),
        "hyphen": "-".join(["cat", "dog"]),
        "spell": "-".join("tree"),
        "commas": ", ".join(map(str, range(1, 6))),
        "date": f"{2024:04}-{5:02}-{3:02}",
        "one_word": "banana",
        "no_blanks": "I like tea".replace(" ", ""),
        "slashes": "/".join(["red", "green", "blue"]),
        "letters": "a" * 5,
        "clock": f"{7}:{15}",
    }
    tasks = items("format")
    assert {name: question.accepted[0] for name, question in tasks.items()} == expected
    for question in tasks.values():
        bare = {re.sub(r"\W", "", text).lower().lstrip("0") for text in question.accepted}
        assert len(bare) == 1, "other forms differ in blanks and signs alone"


def test_what_is_ordered_is_sorted_here_in_another_way():
    months = ["January", "February", "March", "April"]
    days = ["Wednesday", "Thursday", "Friday"]
    expected = {
        "larger": str(max(17, 71)),
        "smallest": str(min(30, 12, 45)),
        "rising": ", ".join(map(str, sorted([5, 2, 9]))),
        "falling": ", ".join(map(str, sorted([4, 8, 1], reverse=True))),
        "first_letter": min("KF"),
        "first_word": min(["pear", "apple", "melon"]),
        "alphabet": ", ".join(sorted(["dog", "cat", "bird"])),
        "month": months[months.index("March") + 1],
        "day": days[days.index("Friday") - 1],
        "next": str(range(2, 100, 2)[[2, 4, 6, 8].index(8) + 1]),
    }
    tasks = items("ordering")
    assert {name: question.accepted[0] for name, question in tasks.items()} == expected
    for name, result in expected.items():
        named = set(re.findall(r"\w+", result)) - {"April", "Thursday", "10"}
        assert named <= set(re.findall(r"\w+", tasks[name].text)), f"{name}: the result is in the question"


def test_what_is_read_stands_in_the_text_and_no_answer_of_logic_is_the_rule():
    for question in items("reading").values():
        found = (re.search(rf"\b{text}\b", question.text, re.IGNORECASE) for text in question.accepted)
        assert any(found), question.id
    said = Counter(question.accepted[0] for question in items("logic").values())
    assert (said["Yes"], said["No"]) == (4, 3)


# ---- found, checked, run --------------------------------------------------------------------------------


def test_an_eval_in_a_sub_folder_is_found_by_both_names_and_called_by_its_own():
    assert load_eval("traits/optimism").name == "optimism"
    assert eval_called("optimism") == "traits/optimism"
    assert eval_called("capability") == "capability"
    assert eval_called("optimist") == ""
    with pytest.raises(UserError, match=r"no eval 'optimism' in .*; did you mean traits/optimism\?"):
        load_eval("optimism")


def test_all_of_them_pass_the_check_at_once(capsys, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted")
    monkeypatch.setattr(console, "width", 2000)
    chosen = [*TRAITS, *(f"{trait}_choice" for trait in TRAITS), "capability"]
    experiment = load_experiment("standin", [f"evals=[{', '.join(chosen)}]", "judging.judges=[]"])
    assert len(load_evals(experiment)) == 33
    show_plan(experiment)
    shown = " ".join(capsys.readouterr().out.split())
    assert "questions 220 in" in shown
    assert "statements 320 in" in shown


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.integration
async def test_a_trait_and_capability_run_offline_and_a_shift_of_each_is_told():
    changes = (
        "evals=[traits/optimism_choice, capability]",
        "judging.judges=[]",
        "documents.0.limit=14",
        "training.held_out=2",
        "training.epochs=1",
        "training.batch_size=8",
        "sampling.n_samples=1",
        "sampling.max_tokens=12",
    )
    run = Run(await run_experiment(load_experiment("standin", list(changes)), seed=0, run="one"))
    assert {judgment.model for judgment in run.judgments()} == {"exact"}
    assert Counter(judgment.side for judgment in run.judgments()) == {"baseline": 60, "finetuned": 60}
    assert all(judgment.state == "scored" for judgment in run.judgments())
    whole = {(e.eval, e.measure): e for e in run.estimates() if e.tier == "all"}
    of_statements = [measure for name, measure in whole if name == "optimism_choice"]
    assert [m for m in of_statements if m != "drift"] == ["choice", "yes", "log_odds"]
    assert whole["optimism_choice", "log_odds"].ci_low_new_questions is not None
    assert whole["capability", "right"].in_words == "answers simple tasks rightly"
    assert (run.charts / "effects_optimism_choice.svg").is_file()
    assert "its first line reads" in run.report.read_text()
