"""What comes before a flow is started from the terminal: the definition, the keys, and a server for it.

Prefect is imported after its server is known, and nothing heavy before a mistake is found.
"""

import shlex
from typing import Any

from flows.cli.arguments import say, several, use_server
from tasks.catalog import UserError
from tasks.schema import Eval, Experiment, Until


def load(name: str, overrides: list[str] | None, local: bool, quick: bool) -> Experiment:
    """The experiment; of one that is tried locally it is said what is not as defined."""
    from tasks.definitions import load_experiment

    if quick and not local:
        raise UserError("--quick is how an experiment is tried on this machine: write --local --quick")
    experiment = load_experiment(name, overrides or [])
    if local:
        from tasks.models.local_preview import to_local_preview

        experiment, changes = to_local_preview(experiment, quick)
        say("Tried on this machine; what is not as defined:")
        say("".join(f"- {change}\n" for change in changes))
    return experiment


def start(
    experiment: Experiment,
    command: str,
    run_name: str,
    seed: int | None = None,
    until: Until = "report",
    resume: str = "--run",
) -> None:
    """Runs the experiment; `command` with the option `resume` and the run's name is what goes on with it.

    Raises UserError for a missing key before a server is started, and for all that ends a run.
    """
    from tasks.definitions import load_evals

    _refuse_missing_keys(load_evals(experiment))
    address = use_server()
    from flows.cli.run import run_in_terminal

    run_in_terminal(experiment, seed, run_name, until, address, f"{command} {resume}")


def _refuse_missing_keys(evals: list[Eval]) -> None:
    for judge in (judge for evaluation in evals for judge in evaluation.judges if judge.is_asked):
        from tasks.judging.providers import check_key

        check_key(judge)


def is_of_no_run(place: str) -> bool:
    """Whether there is a file or a folder that is none of a run."""
    from pathlib import Path

    from tasks.runs import Run

    return Path(place).expanduser().exists() and not Run.exists(place)


def judge_responses(place: str, evals: str, judges: str, limits: dict[str, Any], name: str) -> None:
    """Responses of another program become a run, and are judged."""
    from pathlib import Path

    from tasks.imports.responses import to_experiment

    experiment = to_experiment(Path(place).expanduser(), several(evals), several(judges), **limits)
    given = {"--eval": evals, "--judges": judges, "--in-flight": limits["in_flight"]}
    given["--max-cost-usd"] = limits["max_cost_usd"]
    command = ["spillover", "judge", place, *(str(part) for pair in given.items() if pair[1] for part in pair)]
    command += ["--batch"] if limits["batch"] else []
    start(experiment, shlex.join(command), name, resume="--name")
