"""Judging again: other judges, another model or rubric, on answers that are there; or only what has no score.

await judge_again("demo/one", judges=["claude"], name="by claude")
await judge_again("demo/one", failed=True)
"""

from typing import Annotated, Any, NamedTuple

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from flows.artifacts import ended, link_to_report
from flows.judging import judge, judge_what_is_missing, probe_judges, refuse_too_many_unscored, report
from flows.origin import default_run_name, now, origin
from flows.preflight import check_judges
from flows.suspending import suspended_while_batches_are_open
from tasks.catalog import UserError, validate
from tasks.definitions import as_yaml, choose_judges, eval_called, load_eval
from tasks.files import write_text
from tasks.judging.asking import UNSCORED_STATES
from tasks.paid.budget import Budget
from tasks.paid.store import Store
from tasks.runs import Run
from tasks.schema import Eval, Experiment, Words


def _title() -> str:
    given = flow_run.parameters
    place = Run.find(given["run"]).folder
    return f"{place.parent.name}/{place.name}, " + ("what has no score" if given["failed"] else "judged again")


@flow(name="judge-again", flow_run_name=_title)
async def judge_again(
    run: Annotated[str, Field(min_length=1)],
    failed: bool = False,
    judges: Words = None,
    model: str = "",
    prompt: str = "",
    base_url: str = "",
    max_tokens: Annotated[int, Field(ge=0)] = 0,
    in_flight: Annotated[int, Field(ge=0, le=2000)] = 0,
    batch: bool = False,
    max_cost_usd: Annotated[float, Field(ge=0)] = 0.0,
    name: str = "",
) -> str:
    """Judge the answers of a run with other judges, or ask again only for what has no score. Nothing is sampled.

    Args:
        run: The run's folder, experiment/run, or an experiment for its latest run.
        failed: Ask again only for what has no score, and write the run's judgments, effects and report anew. It is for
            the run's own judges: it takes no other judges, model, rubric or name.
        judges: Names of judges of the run's evals, as they are defined now. Empty: those of the run.
        model: Another model for the judges that ask a model.
        prompt: Another rubric for the judges that ask a model.
        base_url: Another server of the Messages API.
        max_tokens: The longest judgment of the judges that ask a model, in tokens. What was cut off is asked for anew,
            what ended by itself is not. 0: as they have it.
        in_flight: Calls under way at once. 0: as the run has it.
        batch: Ask in batches, at half the price: most end within an hour, all within a day. Off: as the run has it.
        max_cost_usd: The most that the run may cost; with `failed`, all that it cost before included. 0: as it has it.
        name: Name of the new run. Empty: a new one.
    """
    changes: dict[str, Any] = {"model": model, "prompt": prompt, "base_url": base_url, "max_tokens": max_tokens}
    name = name if failed else name or default_run_name()
    given = {"judges": judges, "in_flight": in_flight, "batch": batch, "max_cost_usd": max_cost_usd, **changes}
    plan = Rejudging.of(run, failed, name=name, **given)
    with plan.place.exclusive():
        here = plan.parent if failed else Run.derive(plan.parent, plan.experiment, plan.evals, name)
        return await suspended_while_batches_are_open(judge_and_report(here, plan.experiment, plan.evals, failed))


class Rejudging(NamedTuple):
    """What is judged again, and by whom."""

    parent: Run
    place: Run
    """The run that is written: the parent itself, where it is asked again only for what has no score."""
    experiment: Experiment
    evals: list[Eval]

    @classmethod
    def of(
        cls,
        run: str,
        failed: bool,
        *,
        judges: list[str] | None,
        in_flight: int,
        batch: bool,
        max_cost_usd: float,
        name: str,
        **changes: Any,
    ) -> "Rejudging":
        """Raises UserError for what can be known to be wrong before there is a run."""
        parent = _answers_of(run, "" if failed else name)
        if failed:
            refuse_others(judges, changes.get("model"), changes.get("prompt"), name if name != parent.name else "")
        experiment = with_limits(parent.experiment(), in_flight, max_cost_usd, batch)
        changes = {field: value for field, value in changes.items() if value}
        if failed:
            evals = [_changed(evaluation, changes) for evaluation in parent.evals()]
        else:
            evals = other_judges(parent, judges or [], changes)
            chosen = list(dict.fromkeys(judge.name for evaluation in evals for judge in evaluation.judges))
            judging = experiment.judging.model_copy(update={"judges": chosen})
            experiment = experiment.model_copy(update={"judging": judging})
        check_judges(experiment, evals, None)
        return cls(parent, parent if failed else Run.at(experiment.name, name), experiment, evals)


def refuse_others(*given: object) -> None:
    """Raises UserError where `failed` is given other judges, a model, a rubric or a name.

    All of the run would be paid anew, and what its own judges said be written over.
    """
    if any(given):
        raise UserError("--failed asks the run's own judges again: it takes no other judges, model, rubric or name")


async def judge_and_report(here: Run, experiment: Experiment, evals: list[Eval], failed: bool) -> str:
    """Judges the answers that are there, or with `failed` what has no score, and writes the report; the run's folder.

    Raises TooManyUnscored, after the report is written, where a judge lost more than is allowed.
    """
    if failed:
        write_text(here.definition, as_yaml(experiment))
        here.write_evals(evals)
    here.note(started=here.record().get("started") or now(), **origin())
    await link_to_report(here)
    budget = Budget(Store(), here.identity, experiment.max_cost_usd, here.raise_command)
    if failed or not here.judged.is_file():
        await probe_judges(experiment, evals, budget)
    if failed:
        await judge(here, experiment, evals, budget, UNSCORED_STATES)
    else:
        await judge_what_is_missing(here, experiment, evals, budget)
    await report(here, experiment, evals)
    refuse_too_many_unscored(here, experiment)
    here.note(finished=now())
    return ended(here)


def _answers_of(run: str, name: str) -> Run:
    """The run whose answers are judged: when the derived run `name` is the latest already (a retry), its parent."""
    found = Run.find(run)
    if found.name == name and (parent := found.record().get("parent")):
        found = Run.find(parent)
    if not found.finetuned.is_file():
        raise UserError(f"{found.folder} has no answers yet; finish it with `{found.resume_command}`")
    return found


def with_limits(
    experiment: Experiment, in_flight: int = 0, max_cost_usd: float = 0.0, batch: bool = False
) -> Experiment:
    """The experiment with these limits, asked in batches or not; 0 and False leave it as it is."""
    judging = experiment.judging.model_dump() | ({"in_flight": in_flight} if in_flight else {})
    judging |= {"batch": True} if batch else {}
    fields = experiment.model_dump() | {"judging": judging}
    return validate(Experiment, fields | ({"max_cost_usd": max_cost_usd} if max_cost_usd else {}), "judge")


def other_judges(run: Run, chosen: list[str], changes: dict[str, Any]) -> list[Eval]:
    """The run's questions with the chosen judges, as data/evals defines them now, and changes to those that are asked.

    Raises UserError for a judge that no eval has, and where nothing would be judged otherwise.
    """
    before = run.evals()
    after = [_with_judges(evaluation, chosen, changes) for evaluation in before]
    if list(map(_without_addresses, after)) == list(map(_without_addresses, before)):
        raise UserError(
            f"these judges have judged {run.name!r} already, and what a model said is kept wherever it was asked; name "
            "others with --judges, --model or --rubric, or use --failed"
        )
    return after


def _with_judges(evaluation: Eval, chosen: list[str], changes: dict[str, Any]) -> Eval:
    """The eval with the chosen judges (empty: those it has) and the rules that data/evals has for them by now."""
    if evaluation.asks == "choices":
        return evaluation
    known = {judge.name: judge for judge in evaluation.judges}
    rules = {rule.name: rule for rule in evaluation.rules}
    if found := eval_called(evaluation.name):
        current = load_eval(found)
        known |= {judge.name: judge for judge in current.judges}
        rules |= {rule.name: rule for rule in current.rules}
    wanted = chosen or [judge.name for judge in evaluation.judges]
    if unknown := [name for name in wanted if name not in known]:
        raise UserError(f"--judges: {evaluation.name} has no judge {unknown[0]!r}; there is {', '.join(known)}")
    judges = _changed(evaluation.model_copy(update={"judges": list(known.values())}), changes).judges
    if changes and not any(judge.is_asked for judge in judges if judge.name in wanted):
        option = f"--{next(iter(changes)).replace('_', '-')}"
        raise UserError(f"{option}: no judge of {evaluation.name} that asks a model is chosen; name one with --judges")
    return choose_judges(evaluation.model_copy(update={"judges": judges, "rules": list(rules.values())}), wanted)


def _changed(evaluation: Eval, changes: dict[str, Any]) -> Eval:
    """The eval with these fields in each judge that is asked."""
    judges = [{**judge.model_dump(), **(changes if judge.is_asked else {})} for judge in evaluation.judges]
    return validate(Eval, evaluation.model_dump() | {"judges": judges}, f"judges of {evaluation.name}")


def _without_addresses(evaluation: Eval) -> Eval:
    """The eval, but for where its judges are asked."""
    judges = [judge.model_copy(update={"base_url": ""}) for judge in evaluation.judges]
    return evaluation.model_copy(update={"judges": judges})
