"""What can be known to be wrong before anything is spent.

await check_before_start(experiment, "mine")        # and before there is a run, in the Prefect UI or as a folder
evals, engine = await preflight(experiment, "mine")
"""

from contextvars import ContextVar

from tasks.catalog import UserError
from tasks.definitions import load_eval, load_evals
from tasks.documents.sets import gather, split
from tasks.engines import get_engine
from tasks.engines.engine import Engine, check_questions
from tasks.engines.schedule import check_warmup
from tasks.engines.served import retirement
from tasks.generation.set_files import (
    DEFINITION,
    is_made,
    is_written,
    load_set,
    refuse_to_write_over,
    set_folder,
    universe_of,
)
from tasks.generation.traits import Trait, to_trait
from tasks.generation.writer import as_judge
from tasks.imports.responses import read_responses
from tasks.judging.providers import PROVIDERS, check_key, token_kinds
from tasks.paid.prices import batch_prices, cost, dollars, prices
from tasks.runs import Run
from tasks.schema import Eval, Experiment, GeneratedSet, Judge, Response, Training, Writer

Responses = tuple[list[Response], list[Response]]
"""Of the baseline and of the fine-tuned model."""

checked: ContextVar[tuple[Experiment, list[Eval], Engine | None] | None] = ContextVar("checked", default=None)
"""What `check_before_start` found, so that nothing is looked up twice."""

engines: ContextVar[dict[str, Engine] | None] = ContextVar("engines", default=None)
"""Those of runs that go on in one process: what is trained and asked alike has one engine. None: each has its own."""


async def check_before_start(experiment: Experiment, name: str, seed: int | None = None) -> None:
    """Raises UserError for what is wrong with a run of this name; without a seed with the default one."""
    evals, engine = await preflight(experiment, name)
    checked.set((experiment, evals, engine))
    run = Run.at(experiment.name, name)
    run.refuse_a_changed_definition(experiment, evals)
    responses_to_import(experiment, evals, name)
    if unwritten := unwritten_sets(experiment) if not run.documents.is_file() else []:
        for wanted in unwritten:
            check_set(wanted, within_limit=bool(experiment.max_cost_usd))
    elif experiment.documents and not run.documents.is_file():
        mixed, *_ = gather(experiment.documents, experiment.default_seed if seed is None else seed)
        trained, _ = split(mixed, experiment.training.held_out)
        if not experiment.training.checkpoint:
            check_warmup(len(trained), experiment.training)


async def preflight(experiment: Experiment, name: str) -> tuple[list[Eval], Engine | None]:
    """The experiment's evals and its engine (None where responses are given), with keys, questions and model checked.

    A chat format that prints the date prints that of the run's beginning, to all that are trained and asked.
    """
    if (found := checked.get()) and found[0] == experiment:
        return found[1], found[2]
    evals = load_evals(experiment)
    today = Run.at(experiment.name, name).record().get("today", "")
    refuse_choices_of_no_model(experiment, evals)
    engine = None if experiment.responses else engine_of(experiment, today)
    check_judges(experiment, evals, engine)
    if engine:
        await check_engine(experiment, engine)
        check_questions(engine, evals, experiment.sampling)
    return evals, engine


def engine_of(experiment: Experiment, today: str = "") -> Engine:
    """Who trains and samples; a chat format that prints the date prints `today`, or the day on which it is asked."""
    known, given = engines.get(), (experiment.training, today, experiment.sampling.base_url)
    if known is None:
        return get_engine(*given)
    name = repr(given)
    if name not in known:
        known[name] = get_engine(*given)
    return known[name]


def refuse_choices_of_no_model(experiment: Experiment, evals: list[Eval]) -> None:
    """Raises UserError for an eval that asks both models for probabilities, where responses are imported."""
    asked = [evaluation.name for evaluation in evals if evaluation.asks == "choices"]
    if experiment.responses and asked:
        raise UserError(
            f"evals: {asked[0]!r} asks the models how likely Yes and No are, and imported responses come without a "
            "model; leave it out"
        )


def warnings_of(engine: Engine) -> list[str]:
    """What is odd about how its model is trained and asked; where even that cannot be told, why: it stops no run."""
    try:
        return engine.warnings()
    except UserError as problem:
        return [str(problem)]


async def check_engine(experiment: Experiment, engine: Engine) -> None:
    """The engine's preflight; its error also says when the model was retired, and which experiment to run instead."""
    try:
        await engine.preflight()
    except UserError as problem:
        if gone := retirement(experiment):
            raise UserError(f"{problem}; {gone}") from None
        raise


def check_judges(experiment: Experiment, evals: list[Eval], engine: Engine | None) -> None:
    """Raises UserError for a key that is missing and, under a limit on the cost, for a price that is unknown."""
    if imported := [judge.name for evaluation in evals for judge in evaluation.judges if judge.kind == "imported"]:
        raise UserError(
            f"the judge {imported[0]!r} was imported with its results and judges nothing anew; name others (--judges)"
        )
    for judge in asked_judges(evals):
        check_key(judge)
    if experiment.max_cost_usd:
        refuse_unknown_prices(asked_judges(evals), experiment.training, engine, experiment.judging.batch)


def asked_judges(evals: list[Eval]) -> list[Judge]:
    """Those that are asked over a network, and paid."""
    return [judge for evaluation in evals for judge in evaluation.judges if judge.is_asked]


def refuse_unknown_prices(
    judges: list[Judge], training: Training, engine: Engine | None, in_batches: bool = False
) -> None:
    """Raises UserError for a model without a price: a limit on the cost would say nothing there."""
    unknown = []
    if engine:
        train = {} if training.checkpoint else {"train": 1}
        if engine.price(**train, prefill=1, sample=1) is None:
            unknown += _without_price(training)
    for judge in judges:
        known, asked = prices(judge.kind, judge.model, judge.base_url), token_kinds(judge)
        *most, last = (*asked, "batch_input", "batch_output") if in_batches else asked
        if cost(batch_prices(known) if in_batches else known, dict.fromkeys(asked, 1)) is None:
            unknown.append((judge.base_url or judge.kind, judge.model, f"{', '.join(most)} and {last}"))
    for service, model, kinds in unknown:
        raise UserError(
            f"max_cost_usd is set and the price of {model!r} is unknown; give {kinds} in data/prices.yaml under "
            f"{service!r}, or set no limit"
        )


def _without_price(training: Training) -> list[tuple[str, str, str]]:
    """Service, model and the kinds of tokens that a price is wanted for."""
    if training.engine != "served":
        return [(training.base_url or "tinker", training.base_model, "train, prefill and sample")]
    models = (training.base_model, training.checkpoint)
    lacking = [model for model in models if dollars("chat", model, training.base_url, input=1, output=1) is None]
    return [(training.base_url, model, "input and output") for model in lacking]


def responses_to_import(experiment: Experiment, evals: list[Eval], name: str) -> Responses:
    """Responses that another program sampled, for a run that does not hold them yet; else none.

    Raises UserError where a judge needs a baseline that is not there.
    """
    if not experiment.responses or Run.at(experiment.name, name).finetuned.is_file():
        return [], []
    baseline, finetuned = read_responses(experiment.responses, evals)
    pair_judges = [judge.name for evaluation in evals for judge in evaluation.judges if judge.reads == "pair"]
    if pair_judges and not baseline:
        raise UserError(
            f"responses: the judge {pair_judges[0]!r} compares with the baseline, and {experiment.responses} has none; "
            "add baseline.jsonl, or choose judges that read one answer (--judges)"
        )
    return baseline, finetuned


# ---- sets that a model writes --------------------------------------------------------------------


def check_set(wanted: GeneratedSet, within_limit: bool = False) -> None:
    """Raises UserError for what is wrong with its definition, a key that is missing, and documents in its place.

    `within_limit`: it is written by a run that has a limit on its cost, so that it needs one too.
    """
    refuse_to_write_over(wanted)
    if within_limit:
        refuse_unlimited(wanted)
    for writer in filter(None, (wanted.writer, wanted.teacher)):
        check_writer(writer, has_limit=bool(wanted.max_cost_usd))
    if not wanted.trait:
        universe_of(wanted)
        return
    judge = trait_of(wanted).judge
    if not wanted.teacher:
        check_key(judge)
        if wanted.max_cost_usd:
            refuse_unknown_prices([judge], Training(), None, wanted.writer.batch)


def refuse_unlimited(wanted: GeneratedSet) -> None:
    """Raises UserError for a set that a run is to write for any sum, where the run itself has a limit."""
    if not wanted.max_cost_usd:
        raise UserError(
            f"max_cost_usd does not hold over the set {wanted.name}, which is not written yet and has no limit of its "
            f"own; put max_cost_usd into its set.yaml, or write it first with `spillover generate {wanted.name}`"
        )


def check_writer(writer: Writer, has_limit: bool) -> None:
    """Raises UserError for a key that is missing and, under a limit on the cost, for a price that is unknown."""
    if problem := PROVIDERS[writer.kind].objection(writer.base_url, writer.key_variable):
        raise UserError(f"the writer {problem}")
    if has_limit:
        refuse_unknown_prices([as_judge(writer)], Training(), None, writer.batch)


def trait_of(wanted: GeneratedSet) -> Trait:
    """What its trait's eval says; UserError where there is none, or it asks no open questions."""
    return to_trait(load_eval(f"traits/{wanted.trait}"))


def unwritten_sets(experiment: Experiment) -> list[GeneratedSet]:
    """Those of its documents that are defined and not written yet, by name or as the set of one of their tones.

    Raises UserError for one that wants to be looked at first.
    """
    missing = [one for one in _generated_sets(experiment) if not is_written(one)]
    if to_read := next((one for one in missing if one.preview), None):
        raise UserError(
            f"documents: {to_read.name} is not written yet, and wants a look at its first documents: write it with "
            f"`spillover generate {to_read.name}`, or put preview: false into its set.yaml"
        )
    return missing


def outdated_sets(experiment: Experiment) -> list[str]:
    """What is told of those of its documents that an earlier definition wrote than their set.yaml holds now."""
    return [
        f"the set {one.name} was written by an earlier definition than that of its set.yaml, with its universe or "
        f"trait, is now; `spillover generate {one.name}` writes it as it is defined"
        for one in _generated_sets(experiment)
        if is_written(one) and not is_made(one)
    ]


def _generated_sets(experiment: Experiment) -> list[GeneratedSet]:
    """Those of its documents that have a definition, by name or as the set of one of their tones."""
    named = dict.fromkeys(documents.name.partition("/")[0] for documents in experiment.documents)
    return [load_set(name) for name in named if (set_folder(name) / DEFINITION).is_file()]
