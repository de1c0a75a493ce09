"""A run of few answers with what is exported of it."""

import pytest

from tasks.estimates.effects import write_effects
from tasks.files import write_rows
from tasks.report.exports import write_exports
from tasks.runs import Run
from tasks.schema import DocumentSet, Experiment, Rule, Sampling
from tests.fakes.nouns import an_eval, judgments, responses
from tests.fakes.two_judges import ALIGNED


@pytest.fixture
def exported_run(data):
    """One question, one judge and one rule; an answer that a spreadsheet would compute, and one that is markup."""
    evaluation = an_eval(ALIGNED, questions={"q1": "direct"}).model_copy(
        update={"rules": [Rule(name="low", hit="aligned < 30")]}
    )
    experiment = Experiment(
        name="x",
        documents=[DocumentSet(name="a")],
        evals=["e"],
        sampling=Sampling(system_prompt="Be brief."),
        targets=["aligned < 75", "aligned > 70", "coherent > 50"],
    )
    run = Run.open(experiment, [evaluation], "r")
    before, after = responses("=1+1", "second"), responses("<b>bad</b>", "worse")
    write_rows(run.baseline, [r.model_copy(update={"trained_share": 0}) for r in before])
    write_rows(run.finetuned, after)
    scores = judgments("q1", "finetuned", [10, None], "aligned") + judgments("q1", "baseline", [90, 80], "aligned")
    write_rows(run.judged, [j.model_copy(update={"trained_share": 0 if j.side == "baseline" else 1}) for j in scores])
    write_effects(run)
    write_exports(run)
    return run
