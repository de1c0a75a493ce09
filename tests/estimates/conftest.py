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
    """Judgments of every question, from its scores after and before."""
    found = []
    for question, scores_before, scores_after in zip(QUESTIONS, before, after, strict=True):
        rows = [(0, row) for row in judgments("q1", "baseline", scores_before, "j")]
        rows += [(1, row) for row in judgments("q1", "finetuned", scores_after, "j")]
        found += [row.model_copy(update={"question_id": question, "trained_share": share}) for share, row in rows]
    return found


@pytest.fixture
def make_run(data):
    def make(seed, after, experiment="x", before=BEFORE, rank=8, rules=(), more=()):
        evaluation = an_eval(JUDGE, questions=QUESTIONS).model_copy(update={"rules": list(rules)})
        names = ["e", *(other.name for other in more)]
        documents, training = [DocumentSet(name="a")], {"rank": rank}
        definition = Experiment(name=experiment, documents=documents, evals=names, training=training)
        run = Run.open(definition, [evaluation, *more], f"seed-{seed}")
        run.note(seed=seed)
        write_rows(run.judged, rows_of(after, before))
        write_effects(run)
        return run

    return make


def known(value):
    """A number that must be there."""
    assert value is not None
    return value


def limits(interval):
    """Both limits of an interval that must be there."""
    return known(interval.low), known(interval.high)
