"""A study of many cells with a fake engine and a fake judge, on a bad day: nothing is lost, and nothing is paid twice.

    uv run python -m tests.benchmarks.study             # 1,000 cells
    uv run python -m tests.benchmarks.study 20

22 % of the judge's calls fail, the Prefect server is killed once and the process three times; the same command goes on
each time. Held to: under 30 minutes and 1.5 GB for 1,000 cells, every cell done with all its judgments, no model
trained twice, and no answer asked for again but those that were in flight at a kill.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from tests.fakes.messages_api import Faults, MessagesAPI, Say, question_of
from tests.fakes.quick_engine import QuickEngine

SETS = ("warm", "cold", "formal", "casual")
QUESTIONS, SAMPLES, IN_FLIGHT = 5, 2, 40
KILLS = ((0.2, "server"), (0.3, "process"), (0.5, "process"), (0.8, "process"))
"""The share of cells that are done, and what is killed then."""
LOOK_EVERY = 0.2


class Counted(Faults):
    """Counts what it said in answer to each question."""

    def __init__(self) -> None:
        super().__init__()
        self.said = Counter[str]()

    def __call__(self, seen: int, body: dict[str, Any]) -> Any:
        what = super().__call__(seen, body)
        self.said[question_of(body)] += isinstance(what, Say)
        return what

    def twice(self) -> int:
        """Replies beyond those that a question needs."""
        return sum(max(0, count - self.readings(question)) for question, count in self.said.items())


def main(wanted: int) -> None:
    script = Counted()
    with tempfile.TemporaryDirectory() as folder, MessagesAPI(script, seconds=0.05) as api:
        data = Path(folder) / "data"
        prepare(data, wanted, api.url)
        os.environ |= {"SPILLOVER_DATA": str(data), "ANTHROPIC_API_KEY": "key", "PREFECT_HOME": folder}
        began = time.monotonic()
        most, starts = run_until_it_ends(data)
        seconds = time.monotonic() - began
        from flows.serving.server import stop_server

        stop_server()
        tell(data, wanted, script)
        print(f"{seconds / 60:.1f} min, {most / 2**20:,.0f} MB at most, started {starts} times")


def prepare(data: Path, wanted: int, url: str) -> None:
    """The definitions of the study, in a folder of its own."""
    from tests.conftest import make_data_folder

    make_data_folder(data.parent)
    questions = [{"id": f"q{n}", "tier": "any", "text": f"What of number {n}?"} for n in range(QUESTIONS)]
    judge = {"name": "farms", "kind": "claude", "base_url": url, "prompt": "How far does it speak of farms, 1 to 5?"}
    evaluation = {"name": "farms", "questions": questions, "judges": [judge]}
    (data / "evals" / "farms.yaml").write_text(json.dumps(evaluation))
    prices = {"input": 3, "output": 15, "cache_write": 3.75, "cache_read": 0.3}
    (data / "prices.yaml").write_text(json.dumps({url: {"claude-sonnet-4-6": prices}}))
    study = {
        "name": "big",
        "base": {
            "training": {"base_model": "standin"},
            "sampling": {"n_samples": SAMPLES},
            "judging": {"in_flight": IN_FLIGHT, "max_unscored": 1},
        },
        "fine_tunes": list(SETS),
        "seeds": f"0-{max(1, wanted // len(SETS)) - 1}",
        "evals": ["farms"],
        "max_cost_usd": 10_000,
    }
    (data / "studies" / "big.yaml").write_text(json.dumps(study))


def run_until_it_ends(data: Path) -> tuple[int, int]:
    """Starts the command again after every kill; the most memory in bytes, and how often it was started."""
    kills, most, starts = list(KILLS), 0, 0
    while starts < 3 + len(KILLS):
        starts += 1
        child = psutil.Popen([sys.executable, "-m", "tests.benchmarks.study", "child"], stdout=subprocess.DEVNULL)
        while child.poll() is None:
            time.sleep(LOOK_EVERY)
            try:
                most = max(most, child.memory_info().rss)
            except psutil.Error:
                break
            if kills and share_done(data) >= kills[0][0]:
                kill(kills.pop(0)[1], child, data)
        if child.wait() == 0:
            break
    return most, starts


def kill(what: str, child: psutil.Popen, data: Path) -> None:
    """SIGKILL, of the study's process or of its Prefect server."""
    server = json.loads((data / "prefect" / "server.json").read_text())["pid"]
    psutil.Process(server if what == "server" else child.pid).kill()
    print(f"killed the {what} at {share_done(data):.0%}", flush=True)


def share_done(data: Path) -> float:
    """Of the cells, as the grid has them."""
    try:
        cells = json.loads((data / "comparisons" / "big" / "grid.json").read_text())["cells"]
    except OSError:
        return 0.0
    return sum(cell["state"] == "done" for cell in cells) / len(cells)


def tell(data: Path, wanted: int, script: Counted) -> None:
    """What was lost, and what was done twice."""
    runs = [*(data / "results" / "big").glob("*/judged.jsonl")]
    rows = [len(run.read_text().splitlines()) for run in runs]
    whole = 2 * SAMPLES * QUESTIONS
    trained = Counter(file.name.split()[0] for file in (data / "trained").iterdir())
    print(f"cells       {share_done(data):.1%} of {wanted:,} done, {sum(n != whole for n in rows):,} lack judgments")
    print(f"trainings   {len(trained):,} models, {sum(trained.values()) - len(trained):,} twice")
    print(f"judge       {script.count:,} calls, {len(script.said):,} questions, {script.twice():,} replies twice")


class Remembering(QuickEngine):
    """Leaves a file for each training that ended, whatever becomes of the process."""

    async def train(self, *given: Any) -> Any:
        checkpoint = await super().train(*given)
        folder = Path(os.environ["SPILLOVER_DATA"]) / "trained"
        folder.mkdir(exist_ok=True)
        (folder / f"{checkpoint.identity} {os.getpid()}").touch()
        return checkpoint


def child() -> None:
    """The command line, with an engine that takes no time."""
    from flows.cli.arguments import use_server

    use_server()
    from flows import preflight

    engine = Remembering()
    setattr(preflight, "get_engine", lambda *_: engine)  # noqa: B010 - it is of another module
    from flows.__main__ import main as command_line

    sys.argv = ["spillover", "study", "big"]
    command_line()


if __name__ == "__main__":
    if sys.argv[1:] == ["child"]:
        child()
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 1_000)
