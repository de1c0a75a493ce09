"""What `spillover doctor` looks at: whether all that runs need is here, a line each, with a remedy where it is not.

Nothing is spent and no key is shown or sent anywhere but to Tinker, whose server says which models it has.
"""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal, NamedTuple

import httpx

from flows.console import console
from flows.preflight import asked_judges, check_engine, engine_of
from flows.serving.server import is_healthy, running_server, ui_address
from tasks.catalog import UserError, data_folder, model_folder, without_login
from tasks.definitions import load_evals, load_experiment
from tasks.engines.served import HOSTED
from tasks.engines.smollm2 import NAME as SMOLLM2
from tasks.engines.smollm2 import find_source, is_made
from tasks.judging.providers import check_key
from tasks.paid.database import store_file
from tasks.paid.store import Store, store_is_shared
from tasks.services.chat_server import KEYS as OF_SERVICES

KEYS = {
    "ANTHROPIC_API_KEY": "https://api.anthropic.com",
    **{name: f"https://{host}" for name, host in OF_SERVICES.items()},
    "TINKER_API_KEY": HOSTED,
    **dict.fromkeys(("ANTHROPIC_AUTH_TOKEN", "SPILLOVER_JUDGE_KEY", "HF_TOKEN"), ""),
}
"""Keys of the environment, and where the service of each answers, if it is one service's."""
ELSEWHERE = {"ANTHROPIC_API_KEY": "ANTHROPIC_BASE_URL", "TINKER_API_KEY": "TINKER_BASE_URL"}
"""Which variable names another server that is sent a key."""
LEAST_FREE = 1e9
"""Bytes of free disk with which a run of a small model fits."""
PATIENCE = 5.0
"""Seconds that an address has to answer."""
NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError)
"""What httpx raises, also for a proxy or a host that is none, for SOCKS without its package, for lost certificates."""
NETWORK = "see to the network, the address, and proxies and certificates that the environment names"


State = Literal["well", "not there", "wrong"]
"""Not there is what not everyone needs."""
MARKS: dict[State, str] = {"well": "✓", "not there": "–", "wrong": "✗"}


class Finding(NamedTuple):
    """Something that was looked at."""

    what: str
    words: str
    """With the remedy, where it is wrong."""
    state: State = "well"


def examine(name: str = "") -> bool:
    """Prints a line for each finding, also on the experiment of this name; whether all is well."""
    checks: list[Callable[[], Iterator[Finding]]] = [versions, disk, server, store, keys, models, addresses]
    checks += [lambda: of_experiment(name)] if name else []
    wrong = 0
    for check in checks:
        for finding in check():
            style = "yellow" if finding.state == "wrong" else ""
            console.print(f"{MARKS[finding.state]} {finding.what}: {finding.words}", style=style)
            wrong += finding.state == "wrong"
    things = "1 thing is wrong" if wrong == 1 else f"{wrong} things are wrong"
    console.print(f"\n{things}." if wrong else "\nAll is well.")
    return not wrong


def versions() -> Iterator[Finding]:
    """Of Python and of each package that is pinned."""
    pinned = [re.match(r"([\w.-]+)(?:\[.*\])?==([\w.]+)$", wanted) for wanted in requires("spillover") or []]
    wanted = {found[1]: found[2] for found in pinned if found}
    others = [f"{name} is {_version(name)}, not {meant}" for name, meant in wanted.items() if _version(name) != meant]
    ours = f"Python {sys.version.split()[0]}, Prefect {_version('prefect')}, Spillover {version('spillover')}"
    if others:
        yield Finding("versions", f"{ours}, but {', '.join(others)}; bring back what was tested: uv sync", "wrong")
    else:
        yield Finding("versions", f"{ours}; all {len(wanted)} packages are those that were tested")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def disk() -> Iterator[Finding]:
    """The data folder, and how much fits into it."""
    folder = data_folder()
    place = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    words = f"{free / 1e9:,.1f} GB are free for {folder}"
    if not os.access(place, os.W_OK):
        yield Finding("disk", f"{place} cannot be written to; set SPILLOVER_DATA to a folder of your own", "wrong")
    elif free < LEAST_FREE:
        yield Finding(
            "disk", f"{words}; make room (`spillover prune` says what can go), or set SPILLOVER_DATA", "wrong"
        )
    else:
        yield Finding("disk", words)


def server() -> Iterator[Finding]:
    """Prefect's, of this machine or the one that PREFECT_API_URL names."""
    named = os.environ.get("PREFECT_API_URL", "")
    try:
        address = named or running_server() or ""
        shown = ui_address(address) if address else ""
        answers = bool(address) and is_healthy(address)
    except UserError as problem:
        yield Finding("server", str(problem), "wrong")
        return
    except NO_ANSWER as problem:
        yield Finding("server", f"no server can be asked ({type(problem).__name__}); {NETWORK}", "wrong")
        return
    if not address:
        yield Finding("server", "the local Prefect server is not running; whatever needs it starts it", "not there")
    elif not answers:
        yield Finding("server", f"no Prefect server answers at {shown}; start it, or unset PREFECT_API_URL", "wrong")
    elif not (there := _server_version(address)):
        remedy = "if it wants a login, set PREFECT_API_AUTH_STRING to its user:password"
        yield Finding("server", f"{shown} does not say which version of Prefect it runs; {remedy}", "wrong")
    elif there != (here := _version("prefect")):
        remedy = "bring both to one version" if named else "stop it with `spillover server stop`: a run starts it anew"
        words = f"{shown} runs Prefect {there}, and here is {here}"
        yield Finding("server", f"{words}; {remedy}", "wrong")
    else:
        yield Finding("server", f"Prefect {here} answers at {shown}")


def _server_version(address: str) -> str:
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    login = (user, password) if user else None
    try:
        answer = httpx.get(f"{address.rstrip('/')}/admin/version", timeout=PATIENCE, auth=login)
        return str(answer.raise_for_status().json())
    except NO_ANSWER:
        return ""


def store() -> Iterator[Finding]:
    """Of the answers that were paid for."""
    file = store_file()
    if not store_is_shared() and not file.is_file():
        yield Finding("store", f"no answer is stored yet; the first run makes {file}", "not there")
        return
    os.environ.setdefault("PGCONNECT_TIMEOUT", f"{PATIENCE:.0f}")  # else PostgreSQL's client waits for two minutes
    try:
        answers = Store()
        answers.get(["any"])
    except UserError as problem:
        yield Finding("store", str(problem), "wrong")
        return
    size = "" if store_is_shared() else f", {file.stat().st_size / 1e6:,.1f} MB"
    yield Finding("store", f"can be read: {answers.name}{size}")
    answers.close()


def keys() -> Iterator[Finding]:
    """Which are set; their values are nobody's business."""
    there = [name for name in KEYS if os.environ.get(name)]
    missing = [name for name in KEYS if name not in there]
    yield Finding("keys", f"set: {', '.join(there) or 'none'}; not set: {', '.join(missing) or 'none'}", "not there")
    if "TINKER_API_KEY" in there:
        from tasks.engines.tinker_server import check_credentials

        yield from _problems("keys", check_credentials)


def models() -> Iterator[Finding]:
    """Those that run on this machine without a download."""
    standin = model_folder("standin")
    missing = f"the stand-in is not in {data_folder() / 'models'}, which --quick needs; copy data/models/standin there"
    yield Finding("models", "the stand-in is there") if standin else Finding("models", missing, "not there")
    if is_made(data_folder() / "models" / SMOLLM2):
        yield Finding("models", "SmolLM2 is there")
        return
    try:
        find_source()
    except UserError as problem:
        yield Finding("models", str(problem), "wrong")
    else:
        yield Finding("models", "SmolLM2 is made at first use, of the package with its weights")


def addresses() -> Iterator[Finding]:
    """Of each service whose key is set: does it answer? No key is sent."""
    for key, address in KEYS.items():
        if address and os.environ.get(key):
            yield _reach(os.environ.get(ELSEWHERE.get(key, "")) or address)


def _reach(address: str) -> Finding:
    """Whatever an address answers, it is there."""
    shown = without_login(address)
    try:
        httpx.get(address, timeout=PATIENCE)
    except NO_ANSWER as problem:
        words = f"{shown} cannot be reached ({type(problem).__name__}); {NETWORK}"
        return Finding("addresses", words, "wrong")
    return Finding("addresses", f"{shown} answers")


def of_experiment(name: str) -> Iterator[Finding]:
    """Whether this experiment's model and judges can be asked."""
    try:
        experiment = load_experiment(name)
        evals = load_evals(experiment)
    except UserError as problem:
        yield Finding(name, str(problem), "wrong")
        return
    judges = {judge.name: judge for judge in asked_judges(evals)}
    for judge in judges.values():
        yield from _problems(name, partial(check_key, judge))
    yield from {judge.base_url: _reach(judge.base_url) for judge in judges.values() if judge.base_url}.values()
    if experiment.responses:
        return
    wrong = list(_problems(name, lambda: asyncio.run(check_engine(experiment, engine_of(experiment)))))
    what = "asked" if experiment.training.checkpoint else "trained and asked"
    yield from wrong or [Finding(name, f"{experiment.training.base_model} can be {what}")]


def _problems(name: str, check: Callable[[], object]) -> Iterator[Finding]:
    """The user's mistake that the check finds, if any."""
    try:
        check()
    except UserError as problem:
        yield Finding(name, str(problem), "wrong")
