"""Effects: what changed, by tier, with an interval for these questions and one for new ones.

    effects = estimate(scan_judgments(run.judged), evals)

What changed is a paired difference by question: the mean score of the fine-tuned answers minus that of the baseline
(for a pair judge: minus its floor), or the rate of a rule's hits. Questions weigh the same, unless a rule pools them.
A judgment without a score never becomes a number.
"""

from collections.abc import Iterable
from pathlib import Path

import polars
from prefect import task

from tasks.estimates.distributions import distributions
from tasks.estimates.estimates import adjusted, effects_of, estimate_effect
from tasks.estimates.judgments import at_checkpoint, scan_judgments
from tasks.estimates.measures import likelihood_measures, measures, rule_measure
from tasks.estimates.rules import answers_of, variants
from tasks.runs import Run
from tasks.schema import ALL, Effect, Eval, Likelihood, Share
from tasks.tables import as_table, write_table


def estimate(judgments: polars.DataFrame, evals: list[Eval], likelihoods: Iterable[Likelihood] = ()) -> list[Effect]:
    """For each eval and measure: an effect for each tier, over all of several tiers, their slope, and each question.

    Where the model was asked at several moments of its training, those of the end come first, then the earlier ones.
    The p of each moment are adjusted for all that stands in its table.
    """
    likelihoods = list(likelihoods)
    moments = sorted({1.0, *judgments.filter(side="finetuned")["trained_share"].unique()}, reverse=True)
    return [
        effect.model_copy(update={"trained_share": share})
        for share in moments
        for effect in adjusted(
            [
                effect
                for one in evals
                for measure in [
                    *measures(one, at_checkpoint(judgments, one, share)),
                    *likelihood_measures(one, likelihoods, share),
                ]
                for effect in effects_of([measure], one)
            ]
        )
    ]


def sensitivity(judgments: polars.DataFrame, evals: list[Eval]) -> list[Effect]:
    """How each rule's result moves with its thresholds, strict and not strict: an effect over all for each variant."""
    found = []
    for one in evals:
        mine = at_checkpoint(judgments, one, 1.0)
        for rule in one.rules:
            answers = answers_of(rule.judges, mine)
            for variant in variants(rule, one):
                measure = rule_measure(one, mine, variant, answers)
                found.append(estimate_effect([measure], ALL, [measure.pairs(one)]))
    return found


def write_effects(run: Run) -> Path:
    """effects.csv, distributions.csv, and sensitivity.csv where there is a rule."""
    judgments, evals = scan_judgments(run.judged), run.evals()
    if moved := sensitivity(judgments, evals):
        write_table(run.sensitivity, as_table(moved, Effect))
    write_table(run.distributions, as_table(distributions(judgments, evals), Share))
    return write_table(run.effects, as_table(estimate(judgments, evals, run.likelihood_rows()), Effect))


@task(name="effects", task_run_name="estimate what changed")
def effects_task(folder: Path) -> Path:
    return write_effects(Run(folder))
