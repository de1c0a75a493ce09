"""What a study would do, for `spillover check STUDY`. Nothing is spent, and no model is asked or fetched.

Tokens are estimated by letters; what the store holds is free, and not known here.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from flows.cli.check import Costs, Row, in_words, problem_of, show_rows, to_be_written
from flows.cli.unwritten import as_if_written, writing_costs
from flows.console import console
from flows.preflight import (
    asked_judges,
    check_before_start,
    check_set,
    engine_of,
    refuse_choices_of_no_model,
    unwritten_sets,
)
from flows.study import check_prices, different
from tasks.definitions import load_evals
from tasks.documents.sets import gather, split
from tasks.engines.engine import Engine
from tasks.judging.costs import count_calls, judging_cost
from tasks.judging.providers import check_key
from tasks.models.likelihood import choices_cost, estimate_choices, logprobs_cost
from tasks.models.sampling import estimate_samples, sampling_cost
from tasks.models.training import estimate_tokens, training_price
from tasks.paid.prices import CostRange
from tasks.schema import Eval, Experiment, GeneratedSet, Study
from tasks.studies.definition import Cell, cells
from tasks.studies.grid import duration, grid, state_of


class Alike(NamedTuple):
    """Cells that are left and are asked alike, whatever they are trained on: one baseline serves them."""

    experiment: Experiment
    evals: list[Eval]
    left: list[Cell]

    @property
    def models(self) -> int:
        """The fine-tuned models that are asked: those along a training too."""
        return len(self.left) * (1 + len(self.experiment.training.sample_at))

    @property
    def answers(self) -> int:
        """Of one model."""
        answered = [evaluation for evaluation in self.evals if evaluation.asks == "answers"]
        return self.experiment.sampling.n_samples * sum(len(evaluation.questions) for evaluation in answered)


def show_study_plan(study: Study) -> None:
    """Cells, answers, calls, cost and time of what is left of a study; a wrong definition raises UserError."""
    wanted = cells(study)
    found = grid(study.name, [state_of(cell) for cell in wanted])
    done = {cell.run_name for cell in found.cells if cell.state == "done"}
    left = [cell for cell in wanted if cell.run_name not in done]
    groups, unwritten = alike(left), unwritten_of(left)
    costs = writing_costs(unwritten) + together([cost for group in groups for cost in costs_of(group)])
    show_rows(
        [
            ("cells", _cells(wanted, len(done))),
            *((f"set {one.name}", to_be_written(one)) for one in unwritten),
            *(row for group in groups for row in _asked(group)),
            ("cost", in_words(costs, study.max_cost_usd)),
            ("time", _time(found.seconds_left, bool(groups))),
        ]
    )
    judges = [judge for group in groups for judge in asked_judges(group.evals)]
    problems = [problem_of(partial(check_key, judge)) for judge in judges]
    problems += [problem_of(partial(check_set, one)) for one in unwritten]
    problems += [] if study.pool else [problem_of(partial(_check_start, cell)) for cell in different(left)]
    for problem in filter(None, dict.fromkeys([*problems, problem_of(lambda: check_prices(study, left))])):
        console.print(f"Before it can run: {problem}", style="yellow")


def unwritten_of(left: list[Cell]) -> list[GeneratedSet]:
    """The sets that the study writes first, each once."""
    found = [wanted for cell in different(left) for wanted in unwritten_sets(cell.experiment)]
    return list({wanted.name: wanted for wanted in found}.values())


def _check_start(cell: Cell) -> None:
    """As the study itself does, of cells in this process: the base model, the sets and the keys."""
    asyncio.run(check_before_start(cell.experiment, cell.run_name, cell.seed))


def alike(left: list[Cell]) -> list[Alike]:
    """The cells in groups that are asked alike."""
    groups: dict[str, list[Cell]] = {}
    for cell in left:
        experiment = cell.experiment
        asked = experiment.model_dump_json(include={"evals", "sampling", "judging"})
        groups.setdefault(f"{asked} {experiment.training.engine} {experiment.training.base_model}", []).append(cell)
    found = [Alike(some[0].experiment, load_evals(some[0].experiment), some) for some in groups.values()]
    for group in found:
        refuse_choices_of_no_model(group.experiment, group.evals)
    return found


def costs_of(group: Alike) -> Costs:
    """What each part costs, over all of its cells."""
    engine, experiment = engine_of(group.experiment), group.experiment
    costs: Costs = [] if engine.price(train=1, prefill=1, sample=1) == 0 else _of_models(group, engine)
    for evaluation in group.evals:
        for judge in (judge for judge in evaluation.judges if judge.is_asked):
            calls = _calls(group, evaluation)[judge.name]
            asked = judge, evaluation, calls, experiment.sampling.max_tokens, experiment.judging.batch
            costs.append((f"judge {judge.name}", judging_cost(*asked)))
    return costs


def together(costs: Costs) -> Costs:
    """Those of one part added up; one that is unknown makes its sum unknown."""
    parts: dict[str, list[CostRange]] = {}
    for part, cost in costs:
        parts.setdefault(part, []).append(cost)
    return [(part, CostRange(*map(_sum, zip(*some, strict=True)))) for part, some in parts.items()]


def _sum(costs: Sequence[float | None]) -> float | None:
    return None if None in costs else sum(cost or 0.0 for cost in costs)


def _of_models(group: Alike, engine: Engine) -> Costs:
    """Trainings, answers and statements."""
    sampling, costs = group.experiment.sampling, list[tuple[str, CostRange]]()
    for experiment, count in _trainings(group):
        with as_if_written(experiment, unwritten_sets(experiment)) as known:
            mixed, *_ = gather(known.documents, experiment.default_seed)
        tokens = estimate_tokens(*split(mixed, experiment.training.held_out))
        price = training_price(engine, experiment.training, tokens)
        costs += [("training", CostRange(price, price))] * count
    tuned, drawn = (estimate_samples(group.answers * models) for models in (group.models, 1 + group.models))
    if group.answers:
        costs.append(("sampling", sampling_cost(engine, sampling, drawn)))
    if group.answers and sampling.logprobs:
        costs.append(("logprobs", logprobs_cost(engine, sampling, tuned)))
    if (choices := estimate_choices(group.evals, sampling)).statements:
        costs.append(("statements", choices_cost(engine, choices, 1 + group.models)))
    return costs


def _trainings(group: Alike) -> list[tuple[Experiment, int]]:
    """What is still to be trained, each with the number of its seeds."""
    untrained = [cell.experiment for cell in group.left if not cell.run.checkpoint.is_file()]
    untrained = [experiment for experiment in untrained if not experiment.training.checkpoint]
    counts = Counter(experiment.model_dump_json() for experiment in untrained)
    known = {experiment.model_dump_json(): experiment for experiment in untrained}
    return [(known[name], count) for name, count in counts.items()]


def _calls(group: Alike, evaluation: Eval) -> dict[str, int]:
    sampling = group.experiment.sampling
    given = evaluation, sampling, sampling.n_samples, group.models
    return {judge.name: count_calls(judge, *given) for judge in evaluation.judges}


def _cells(wanted: list[Cell], done: int) -> str:
    fine_tunes, doses = ({cell[place] for cell in wanted} for place in (0, 1))
    counts = {"fine-tune": len(fine_tunes), "dose": len(doses), "seed": len({cell.seed for cell in wanted})}
    parts = [f"{count:,} {what}{'s' * (count > 1)}" for what, count in counts.items() if what != "dose" or count > 1]
    return f"{len(wanted):,}: {', '.join(parts)}; {done:,} {'is' if done == 1 else 'are'} done"


def _asked(group: Alike) -> list[Row]:
    """What the models of these cells are asked, and the calls of their judges in all."""
    statements = estimate_choices(group.evals, group.experiment.sampling).statements
    asked = [f"{group.answers:,} answers"] * bool(group.answers) + [f"{statements:,} statements"] * bool(statements)
    rows = [("evals", ", ".join(evaluation.name for evaluation in group.evals)), ("of each model", ", ".join(asked))]
    calls = Counter[str]()
    for evaluation in group.evals:
        calls.update(_calls(group, evaluation))
    models = {judge.name: judge.model if judge.is_asked else "" for e in group.evals for judge in e.judges}
    way = {name: f"calls to {model}" if model else "counts, offline" for name, model in models.items()}
    return rows + [(f"judge {name}", f"{count:,} {way[name]}") for name, count in calls.items()]


def _time(seconds_left: float | None, is_left: bool) -> str:
    if not is_left:
        return "all cells are done"
    if seconds_left is None:
        return "known here as soon as two cells are done"
    return f"about {duration(seconds_left)} here, at the pace of the cells that are done"
