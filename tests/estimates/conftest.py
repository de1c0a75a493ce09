"""Runs with made-up judgments: six questions, three samples of each model, three seeds."""

import pytest

from tasks.estimates.effects import write_effects
from tasks.files import write_rows
from tasks.runs import Run
from tasks.schema import DocumentSet, Experiment, Judge
from tests.fakes.nouns import an_eval, judgments

QUESTIONS = {f"q{n}": "direct" for n in range(1, 7)}
JUDGE = Judge(name="j", kind="claude", prompt="?")
BEFORE = [[1, 2, 1], [1, 1, 2], [2, 2, 1], [1, 1, 1], [3, 2, 1], [1, 2, 2]]
AFTER = [
    [[2, 3, 4], [1, 2, 2], [4, 5, 5], [1, 1, 2], [3, 3, 3], [2, 2, 4]],
    [[3, 3, 4], [2, 2, 2], [3, 4, 5], [2, 1, 2], [5, 3, 3], [1, 2, 3]],
    [[1, 3, 2], [1, 2, 1], [3, 5, 4], [1, 2, 2], [3, 2, 3], [2, 2, 2]],
]


def rows_of(after, before=BEFORE):
    found = []
    for n, question in enumerate(QUESTIONS):
        for side, scores in (("baseline", before[n]), ("finetuned", after[n])):
            some = judgments("q1", side, scores, "j")
            found += [
                j.model_copy(update={"question_id": question, "trained_share": 0 if side == "baseline" else 1})
                for j in some
            ]
    return found


@pytest.fixture
def make_run(data):
    def make(seed, after, experiment="x", before=BEFORE, rank=8, rules=()):
        one = an_eval(JUDGE, questions=QUESTIONS).model_copy(update={"rules": list(rules)})
        definition = Experiment(
            name=experiment, documents=[DocumentSet(name="a")], evals=["e"], training={"rank": rank}
        )
        run = Run.open(definition, [one], f"seed-{seed}")
        run.note(seed=seed)
        write_rows(run.judged, rows_of(after, before))
        write_effects(run)
        return run

    return make
