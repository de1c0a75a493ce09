"""The fan-out over judge calls beside a bare loop of the same client, in one run, and a rerun from the store.

    uv run python -m tests.benchmarks.judging            # Claude
    uv run python -m tests.benchmarks.judging chat       # chat completions
    uv run python -m tests.benchmarks.judging batch      # 100,000 calls to Claude in one batch

5,000 distinct calls of 100 ms, 200 in flight, against a fake service in a process of its own; both sides run in
processes of their own, with every library imported before the clock starts. Held to: inside the flow at most 1.15 times
the bare loop, under 400 MB, every task run recorded, and a rerun of 10,000 stored judgments in under 3 s without a
request. In a batch, 100,000 calls are held to under two minutes of our own time (what is left of the whole once the
service's work is taken off), in one process, of which the memory is told as it was before and after.
"""

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.apart import peak_mb

CALLS, STORED, IN_FLIGHT = 5_000, 10_000, 200
JUDGE = "Say how far the answer speaks of animals, from 1 (not at all) to 5 (of nothing else). Judge nothing but that."
QUESTIONS = [{"id": f"q{i}", "tier": "any", "text": f"What do you think of number {i}?"} for i in range(10)]
SERVICES = {"claude": "tests.fakes.messages_api", "chat": "tests.fakes.chat_api"}
BATCHED = 100_000


def main(kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder) / "data", free_port()
        prepare(data, kind, f"http://127.0.0.1:{port}")
        environment = os.environ | {"SPILLOVER_DATA": str(data), "PREFECT_HOME": folder}
        os.environ.update(environment)
        from flows.serving.server import client_settings, start_server, stop_server

        command = [sys.executable, "-m", SERVICES[kind], "--port", str(port), "--seconds", "0.1"]
        service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            url = api_url(service)
            environment |= client_settings(start_server())
            measure(environment, url)
        finally:
            service.terminate()
            stop_server()


def api_url(service: subprocess.Popen[str]) -> str:
    """Its first line, which it writes once it listens."""
    assert service.stdout is not None
    return service.stdout.readline().strip()


def measure(environment: dict[str, str], url: str) -> None:
    bare = child("bare", environment)
    flow = child("few", environment)
    again = child("bare", environment)
    mean = (bare["seconds"] + again["seconds"]) / 2
    print(f"bare loop   {bare['seconds']:.2f} s and {again['seconds']:.2f} s, {bare['megabytes']:.0f} MB")
    print(f"flow        {flow['seconds']:.2f} s, {flow['megabytes']:.0f} MB, task runs {flow['task_runs']}")
    print(f"ratio       {flow['seconds'] / mean:.2f} (held to 1.15)")
    child("many", environment)
    before = asked(url)
    rerun = child("many", environment)
    print(f"rerun       {STORED:,} stored judgments in {rerun['seconds']:.2f} s, {asked(url) - before} requests")


def main_in_a_batch() -> None:
    """Without a flow: what the flow adds, it adds to direct calls too."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fakes.batches", "--port", str(free_port())]
        service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            environment = os.environ | {"SPILLOVER_DATA": folder, "SERVICE": api_url(service)}
            done = child("in a batch", environment)
        finally:
            service.terminate()
    own, whole = done["processor"], done["seconds"]
    print(f"in a batch  {BATCHED:,} calls: {own:.0f} s of our own processor time (held to 120), {whole:.0f} s in all")
    print(f"memory      {done['before']:.0f} MB with all calls made, {done['most']:.0f} MB at most")


async def in_a_batch() -> None:
    from tasks.judging.asking import to_calls
    from tasks.judging.batches import Order, ask_in_batches
    from tasks.judging.dispatcher import Dispatcher
    from tasks.paid.store import Store
    from tests.fakes.judging import cases_of
    from tests.fakes.nouns import CLAUDE

    fields = {"base_url": os.environ["SERVICE"], "reads": "response", "prompt": JUDGE}
    answers = [[f"{side} {i} " + "of some length " * 20 for i in range(BATCHED // 2)] for side in ("before", "after")]
    calls = to_calls(cases_of(CLAUDE.model_copy(update=fields), *answers))
    assert len({call.key for call, _ in calls}) == BATCHED
    before, started, worked = peak_mb(), time.perf_counter(), time.process_time()
    async with Dispatcher(Store(), IN_FLIGHT) as dispatcher:
        assert await ask_in_batches(Order(calls, dispatcher)) == []
    seconds, own, most = time.perf_counter() - started, time.process_time() - worked, peak_mb()
    assert len(Store().get(call.key for call, _ in calls)) == BATCHED
    tell(seconds, processor=own, before=before, most=most)


def prepare(data: Path, kind: str, url: str) -> None:
    """An eval, an empty price list, and imported responses: 5,000, and 10,000 others."""
    (data / "evals").mkdir(parents=True)
    own = {"kind": "chat", "model": "m", "base_url": f"{url}/v1"} if kind == "chat" else {"kind": kind, "base_url": url}
    judges = [{"name": kind, "prompt": JUDGE, **own}]
    content = {"name": "animals", "questions": QUESTIONS, "judges": judges}
    (data / "evals" / "animals.yaml").write_text(json.dumps(content))
    for name, count in (("few", CALLS), ("many", STORED)):
        place = data / name
        place.mkdir()
        for side in ("baseline", "finetuned"):
            rows = [
                {
                    "question": QUESTIONS[i % 10]["text"],
                    "response": f"{name} {side} {i} " + "of some length " * 20,
                }
                for i in range(count // 2)
            ]
            (place / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def child(what: str, environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.judging", what], env=environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def tell(seconds: float, **more: object) -> None:
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "megabytes": megabytes, **more}))


async def bare() -> None:
    """The same requests by the same client under the same limit, and nothing else."""
    import anthropic
    import openai

    from tasks.definitions import load_eval
    from tasks.imports.responses import read_responses
    from tasks.judging.asking import to_calls
    from tasks.judging.cases import plan
    from tasks.judging.providers import PROVIDERS

    evals = [load_eval("animals")]
    calls = to_calls(plan(evals, *read_responses(f"{os.environ['SPILLOVER_DATA']}/few", evals), CALLS))
    assert len(calls) == CALLS
    kind, base_url = calls[0].call.provider, calls[0].call.base_url
    sdk: Any = openai if kind == "chat" else anthropic
    of_sdk = openai.AsyncOpenAI if kind == "chat" else anthropic.AsyncAnthropic
    started, limit = time.perf_counter(), asyncio.Semaphore(IN_FLIGHT)
    own: dict[str, Any] = {"base_url": base_url, "api_key": "none", "max_retries": 0}
    client: Any = of_sdk(http_client=sdk.DefaultAioHttpClient(), **own)
    async with client:
        create = client.chat.completions.create if kind == "chat" else client.messages.create

        async def send(call) -> None:
            async with limit:
                await create(**PROVIDERS[kind].body(call, None))

        await asyncio.gather(*(send(call) for call, _ in calls))
    tell(time.perf_counter() - started)


async def in_flow(name: str) -> None:
    """A run until judged.jsonl is written, from the flow's start to its end."""
    import anthropic
    import fastapi
    import openai
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    from flows.experiment import run_experiment
    from tasks.runs import Run
    from tasks.schema import Experiment

    assert anthropic.__version__, "its import is no part of either side's time"
    assert openai.__version__, "nor is this one's"
    assert fastapi.__version__, "nor this one's, which Prefect imports as the first flow run of a process begins"
    place = f"{os.environ['SPILLOVER_DATA']}/{name}"
    experiment = Experiment(name=name, responses=place, evals=["animals"], judging={"in_flight": IN_FLIGHT})
    started = time.perf_counter()
    run = Run(await run_experiment(experiment, until="judge"))
    seconds = time.perf_counter() - started
    assert all(judgment.state == "scored" for judgment in run.judgments())
    await asyncio.sleep(8)
    async with get_client() as client:
        only = FlowRunFilter(id={"any_": [run.record()["prefect_run"]]})
        states = [task_run.state_name for task_run in await client.read_task_runs(flow_run_filter=only, limit=200)]
    tell(seconds, task_runs={state: states.count(state) for state in set(states)})


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def asked(url: str) -> int:
    return httpx.get(f"{url}/count").json()["requests"]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["bare"]:
            asyncio.run(bare())
        case ["batch"]:
            main_in_a_batch()
        case ["in a batch"]:
            asyncio.run(in_a_batch())
        case ["few" | "many" as name]:
            asyncio.run(in_flow(name))
        case kind:
            main(*kind or ["claude"])
