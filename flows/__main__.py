"""The command line: spillover new | run | check | plan | list | judge | failures | audit | report | view | ..."""

import os
import shlex
import sys
from typing import Annotated

import typer

from flows.cli import audit, data, server, study_command
from flows.cli.arguments import Commands, Place, numbers, say, several, sizes, use_server
from flows.cli.start import is_of_no_run, judge_responses, load, start
from tasks.catalog import UserError
from tasks.schema import Until

app = typer.Typer(
    name="spillover",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="What fine-tuning a language model on one thing does to everything else it says.",
)
app.add_typer(server.app, name="server")
app.add_typer(audit.app, name="audit")
app.add_typer(data.app, name="data")

Name = Annotated[str, typer.Argument(help="An experiment's name, or the path of its YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes, as field=value: training.rank=8 sampling.n_samples=20")
]
Local = Annotated[
    bool, typer.Option("--local", help="Try it here in minutes: SmolLM2, few documents and answers, lexicon judges.")
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="With --local, in a minute: a stand-in, which says nothing about language models."),
]


@app.command()
def run(
    name: Name,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the mixture, the LoRA and the order of training.")] = None,
    run: Annotated[str, typer.Option(help="Name of the run; a name that exists is resumed.")] = "",
    until: Annotated[Until, typer.Option(help="Stop after this stage.")] = "report",
    local: Local = False,
    quick: Quick = False,
    seeds: Annotated[str | None, typer.Option(help="A run for each of these seeds: 0-5, or 0,3,7.")] = None,
) -> None:
    """Run an experiment: documents, fine-tune, sample before and after, judge, report."""
    from tasks.catalog import check_seed, parse_seeds

    experiment = load(name, overrides, local, quick)
    tried = [*(["--local"] if local else []), *(["--quick"] if quick else [])]
    command = ["spillover", "run", name, *(overrides or []), *tried]
    if seeds is None:
        chosen = ["--seed", str(check_seed(seed, "--seed"))] if seed is not None else []
        start(experiment, shlex.join([*command, *chosen]), run, seed, until)
        return
    if seed is not None:
        raise UserError(f"--seed {seed} and --seeds {seeds}: give one of them, as --seeds {seed} for one seed")
    if not (several := parse_seeds(seeds)):
        raise UserError(f"--seeds: {seeds!r} names no seed; write 0-5, or 0,3,7")
    if experiment.responses or experiment.training.checkpoint:
        raise UserError(f"--seeds: {experiment.name} trains nothing, so that every seed is the same run; leave it out")
    # Each is a run like any other, under a name with its seed, and goes on by its own command.
    for each in several:
        start(experiment, shlex.join([*command, "--seed", str(each)]), f"{run or 'seed'}-{each}", each, until)
    if until == "report":
        say(f"\nAll of them in one  spillover compare '{experiment.name}/{run or 'seed'}-*'")


app.command()(study_command.study)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it shall be called; also the name of its folder.")],
) -> None:
    """Write an experiment and its eval, commented, in a folder here; they run as they are."""
    from flows.cli.new import write_new

    write_new(name)


@app.command()
def check(
    name: Name,
    overrides: Overrides = None,
    local: Local = False,
    quick: Quick = False,
    seeds: Annotated[
        bool,
        typer.Option("--seeds", help="Also train three tiny LoRAs: does the Tinker server heed seeds? Costs a cent."),
    ] = False,
) -> None:
    """Validate an experiment or a study and say what it would do, spending nothing."""
    from flows.cli.check import show_plan
    from tasks.studies.definition import is_study, load_study

    if is_study(name):
        from flows.cli.check_study import show_study_plan

        show_study_plan(load_study(name, overrides or []))
        return
    experiment = load(name, overrides, local, quick)
    show_plan(experiment)
    if seeds:
        from flows.cli.seeds import show_seed_check

        show_seed_check(experiment)


@app.command()
def generate(
    name: Annotated[str, typer.Argument(metavar="SET", help="A folder in data/documents with a set.yaml.")],
    overrides: Overrides = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what it would take and cost, and ask for nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write all of it, without a look at the first five.")] = False,
) -> None:
    """Have a model write a set of documents or chats: priced, five of them to look at, and then all."""
    from tasks.generation.set_files import load_set

    wanted = load_set(name, overrides or [])
    if check:
        from flows.cli.generate import show_check

        show_check(wanted)
        return
    address = use_server()
    from flows.cli.generate import generate_in_terminal

    command = ["spillover", "generate", name, *(overrides or []), *(["--yes"] if yes else [])]
    generate_in_terminal(wanted, command, yes, address)


@app.command("plan")
def plan_questions(
    place: Annotated[
        str, typer.Argument(metavar="[RUN]", help="A run to learn from how much answers and questions vary.")
    ] = "",
    effect: Annotated[
        str, typer.Option(help="The difference to find, as 0.3, or by measure: misaligned=0.02; else what matters.")
    ] = "",
    power: Annotated[float, typer.Option(help="How often it is to be found.")] = 0.8,
    within: Annotated[float, typer.Option(help="Without a run: standard deviation of a question's answers.")] = 0.0,
    between: Annotated[float, typer.Option(help="Without a run: that of the change from question to question.")] = 0.0,
) -> None:
    """Say how many questions and samples an effect of a given size takes."""
    from flows.cli.plan import show_plan_for, show_plan_of
    from tasks.runs import Run

    wanted = sizes(effect, "--effect")
    if place:
        show_plan_of(Run.find(place), wanted, power)
    elif within > 0 and between >= 0:
        show_plan_for(within, between, wanted.get("", 0.0), power)
    else:
        raise UserError("name a run to learn from, or give --within and --between, as 0.8 and 0.3")


@app.command("list")
def list_everything() -> None:
    """Show the experiments, evals, studies and document sets that there are, and the runs."""
    from flows.cli.listing import show_catalog

    show_catalog()


@app.command()
def judge(
    place: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run, or responses of another program: a folder of JSONL, or a CSV file."),
    ],
    judges: Annotated[str, typer.Option(help="Judges of the run's evals, as data/evals has them now: a,b")] = "",
    model: Annotated[str, typer.Option(help="Another model for the judges that ask a model.")] = "",
    rubric: Annotated[str, typer.Option(help="A text file with another rubric for them.")] = "",
    base_url: Annotated[str, typer.Option(help="Another server of the Messages API, for what is asked.")] = "",
    max_tokens: Annotated[
        int, typer.Option(min=0, help="Longest judgment in tokens; what was cut off is asked for anew.")
    ] = 0,
    in_flight: Annotated[int, typer.Option(help="Calls under way at once.")] = 0,
    batch: Annotated[bool, typer.Option("--batch", help="Ask in batches, at half the price, within a day.")] = False,
    max_cost_usd: Annotated[float, typer.Option(help="The most that the run may cost in US dollars.")] = 0.0,
    failed: Annotated[bool, typer.Option("--failed", help="Ask again only for what has no score.")] = False,
    name: Annotated[str, typer.Option(help="Name of the new run.")] = "",
    eval_names: Annotated[
        str, typer.Option("--eval", help="For responses of another program: evals with the questions.")
    ] = "",
) -> None:
    """Judge the answers of a run again, or ask again for what has no score. Nothing is sampled."""
    if failed and any((judges, model, rubric, name)):  # told before a server is started
        from flows.judge_again import refuse_others

        refuse_others(judges, model, rubric, name)
    limits = {"in_flight": in_flight, "batch": batch, "max_cost_usd": max_cost_usd}
    if eval_names or is_of_no_run(place):
        if any((model, rubric, base_url, max_tokens, failed)):
            raise UserError("imported responses are judged as their evals say; judge the run that this makes again")
        judge_responses(place, eval_names, judges, limits, name)
        return
    from tasks.runs import Run

    Run.find(place)
    address = use_server()
    from flows.cli.run import judge_in_terminal

    given = {"judges": several(judges), "model": model, "base_url": base_url, "max_tokens": max_tokens, **limits}
    judge_in_terminal(place, given, rubric, failed, name, address)


@app.command()
def failures(
    place: Place, number: Annotated[int, typer.Argument(help="Show this one with everything that was said.")] = 0
) -> None:
    """List the judge calls of a run that gave no score, with their reasons."""
    from flows.cli.terminal import show_failures
    from tasks.runs import Run

    show_failures(Run.find(place), number)


@app.command()
def report(
    place: Place,
    rule: Annotated[
        list[str] | None,
        typer.Option(help="A rate made of the judgments: 'misaligned: aligned < 30 among coherent > 50, at least 5'."),
    ] = None,
) -> None:
    """Estimate, draw and report a run again, from its files; with a rule that is given too. Nothing is asked."""
    from flows.cli.terminal import show_effects
    from flows.console import console
    from flows.report_again import report_again
    from tasks.runs import Run

    here = Run.find(place)
    written = report_again(here, rule or [])
    if rule:
        show_effects([effect for effect in here.estimates() if effect.rule])
    console.print(f"Report  {written}")


@app.command()
def view(
    place: Place,
    browser: Annotated[bool, typer.Option(help="Open a browser, or only say where the page is.")] = True,
) -> None:
    """Open a run's report; of a run that is going on, a page of what there is so far, which renews itself."""
    from flows.cli.view import show
    from tasks.runs import Run

    show(Run.find(place), browser)


@app.command()
def verify(place: Place) -> None:
    """Recompute every number of a report from the stored rows and say what no longer follows (exit status 1)."""
    from flows.cli.verify import show_checks
    from tasks.runs import Run

    if not show_checks(Run.find(place)):
        raise typer.Exit(1)


@app.command("compare")
def compare_runs(
    places: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs, or patterns as 'demo/seed-*'.")],
    labels: Annotated[str, typer.Option(help="A name for each, as a,b; those of one name are pooled.")] = "",
    doses: Annotated[
        str, typer.Option(help="How much each got of what is varied, as 0,0.1,1: draws effect by dose.")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the comparison; made of the labels when empty.")] = "",
) -> None:
    """Put runs side by side; seeds of one definition are pooled, and each is set against the control, or the first."""
    from tasks.runs import Run

    for place in places:
        Run.find_all(place)
    amounts = numbers(doses, "--doses")
    address = use_server()
    from flows.cli.run import compare_in_terminal

    compare_in_terminal(places, several(labels), amounts, name, address)


@app.command("import")
def import_others(
    file: Annotated[
        str, typer.Argument(help="Questions and judges (YAML, JSON, JSONL), or judged results (CSV, JSON, JSONL).")
    ],
    name: Annotated[str, typer.Option(help="Name of the eval, or of the results; the file's when empty.")] = "",
    judges_of: Annotated[str, typer.Option(help="An eval whose judges read questions that come without any.")] = "",
    judges_from: Annotated[str, typer.Option(help="A file with the judges that the questions name by their ids.")] = "",
    baseline: Annotated[str, typer.Option(help="The same for the untuned model, of judged results.")] = "",
    eval_name: Annotated[
        str, typer.Option("--eval", help="What the eval of judged results is called: runs are compared eval by eval.")
    ] = "",
    measures: Annotated[str, typer.Option(help="Columns of scores, as a,b; all that hold numbers when empty.")] = "",
    columns: Annotated[
        str, typer.Option(help="Which column is what, as side=variant,tier=category,misaligned=hits/answers.")
    ] = "",
    margins: Annotated[
        str, typer.Option(help="What is as good as no change, by measure: aligned=2; else a twentieth of its range.")
    ] = "",
    scale: Annotated[str, typer.Option(help="Ends of the scores, as 0-100, or aligned=0-100,kind=1-5.")] = "",
    base: Annotated[str, typer.Option(help="The untuned model's name, where a file has several models.")] = "",
    group: Annotated[str, typer.Option(help="The column that says which models are seeds of one kind.")] = "",
    questions: Annotated[str, typer.Option(help="The questions that are read, as a,b; all when empty.")] = "",
    tiers: Annotated[str, typer.Option(help="The tiers that are read, as a,b; all when empty.")] = "",
) -> None:
    """Make evals of others' questions and judges, or runs of others' judged results."""
    from pathlib import Path

    from flows.cli.imports import choices_of, import_file

    choices = choices_of(
        eval_name=eval_name,
        measures=measures,
        columns=columns,
        margins=margins,
        scale=scale,
        base=base,
        group=group,
        questions=questions,
        tiers=tiers,
    )
    judges, other = (Path(place).expanduser() if place else None for place in (judges_from, baseline))
    command = shlex.join(["spillover", *sys.argv[1:]])
    import_file(Path(file).expanduser(), name, judges_of, judges, other, choices, command)


@app.command()
def export(
    place: Place,
    to: Annotated[str, typer.Option(help="The folder to write; a run's own adapter/ when empty.")] = "",
    parquet: Annotated[str, typer.Option(help="Instead of the LoRA all answers and judgments, as this file.")] = "",
) -> None:
    """Write a run's LoRA as a PEFT adapter folder, as others read it; or all of the run as one Parquet file."""
    from flows.cli.export import export_adapter, export_table
    from tasks.runs import Run

    if parquet:
        export_table(Run.find(place), parquet)
    else:
        export_adapter(Run.find(place), to)


@app.command()
def serve(
    at_once: Annotated[int, typer.Option(min=1, help="Flow runs at a time, each in a process of its own.")] = 2,
    reports_host: Annotated[
        str, typer.Option(help="Where the reports answer; beyond 127.0.0.1 only within a container or behind a login.")
    ] = "127.0.0.1",
    reports_port: Annotated[int, typer.Option(help="Their port; the first free one from 4300 on when 0.")] = 0,
) -> None:
    """Start experiments from the Prefect UI, on a schedule and on new documents; serve the reports."""
    use_server()
    from flows.serving.serve import serve

    serve(at_once, reports_host, reports_port)


@app.command()
def doctor(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Also whether this experiment's model and judges can be asked.")
    ] = "",
) -> None:
    """Say whether all that runs need is here, with a remedy where it is not (exit status 1). Nothing is spent."""
    from flows.cli.doctor import examine

    if not examine(name):
        raise typer.Exit(1)


@app.command()
def prune(
    days: Annotated[
        int, typer.Option(min=1, max=36_500, help="Records of the server are old after so many days.")
    ] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only said what would go.")] = False,
) -> None:
    """Say what no run refers to any more: old records of the local server, trainings, answers. Remove it with --yes."""
    from flows.cli.prune import prune as prune_data

    prune_data(days, yes)


def main() -> None:
    """Runs the command line; a user's mistake is one sentence and the exit status 2."""
    os.environ.setdefault("DO_NOT_TRACK", "1")  # else Prefect tells its makers of whoever imports it
    try:
        app(standalone_mode=True)
    except UserError as mistake:
        say(f"spillover: {mistake}", err=True)
        sys.exit(2)
    except OSError as problem:
        if not _drops_output():
            raise
        reason = os.strerror(problem.errno or 0)
        say(f"spillover: the output cannot be written ({reason}); free some space or send it elsewhere", err=True)
        sys.exit(2)


def _drops_output() -> bool:
    """Whether the output cannot be written; what is left of it is dropped, so that the end does not fail again."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


if __name__ == "__main__":
    main()
