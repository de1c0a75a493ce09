"""Effects: what changed, by tier, with an interval for these questions and one for new ones.

    effects = estimate(judgments, evals)

What changed is a paired difference by question: the mean score of the fine-tuned answers minus that of the baseline
(for a pair judge: minus its floor), or the rate of a rule's hits. Questions weigh the same, unless a rule pools them.
A judgment without a score never becomes a number.
"""

from collections.abc import Iterable
from pathlib import Path

from prefect import task

from tasks.estimates import effects_of, estimate_effect
from tasks.measures import likelihood_measures, measures, rule_measure
from tasks.rules import as_words, at_moment, variants
from tasks.runs import Run, as_table, write_text
from tasks.schema import ALL, Effect, Eval, Judgment, Likelihood


def estimate(judgments: list[Judgment], evals: list[Eval], likelihoods: Iterable[Likelihood] = ()) -> list[Effect]:
    """For each eval and measure: an effect for each tier, one over all of several tiers, and one for each question.

    Where the model was asked at several moments of its training, those of the end come first, then the earlier ones.
    """
    likelihoods, words = list(likelihoods), as_words(judgments)
    moments = sorted({j.at for j in judgments if j.side == "finetuned"} | {1.0}, reverse=True)
    return [
        effect.model_copy(update={"at": at})
        for at in moments
        for one in evals
        for measure in [*measures(one, at_moment(words, one, at)), *likelihood_measures(one, likelihoods, at)]
        for effect in effects_of([measure], one)
    ]


def sensitivity(judgments: list[Judgment], evals: list[Eval]) -> list[Effect]:
    """How each rule's result moves with its thresholds, strict and not strict: an effect over all for each variant."""
    words = as_words(judgments)
    found = []
    for one in evals:
        mine = at_moment(words, one, 1.0)
        for rule in one.rules:
            for variant in variants(rule, one):
                measure = rule_measure(one, mine, variant)
                found.append(estimate_effect([measure], ALL, [measure.pairs(one)]))
    return found


def write_effects(run: Run) -> Path:
    """effects.csv, and sensitivity.csv where there is a rule."""
    judgments, evals = run.judgments(), run.evals()
    if moved := sensitivity(judgments, evals):
        write_text(run.sensitivity, as_table(moved, Effect).write_csv())
    return write_text(run.effects, as_table(estimate(judgments, evals, run.likely()), Effect).write_csv())


@task(name="effects", task_run_name="estimate what changed")
def effects_task(folder: Path) -> Path:
    return write_effects(Run(folder))
