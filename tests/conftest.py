"""What tests share: a data folder of their own, and documents, answers and judges made of few words."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tasks.runs import Run

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker for each core: more threads stand in each other's way
PROJECT = Path(__file__).parents[1]
OURS = PROJECT / "tests" / "fakes" / "realdata"
REALDATA = PROJECT.parent / "shared" / "realdata"


def make_data_folder(place: Path) -> Path:
    """A copy of the project's definitions in a folder where a test may write."""
    folder = place / "data"
    for kind in ("evals", "experiments", "studies"):
        shutil.copytree(PROJECT / "data" / kind, folder / kind)
    for kind in ("models", "documents"):
        (folder / kind).symlink_to(PROJECT / "data" / kind)
    return folder


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own; no key, no store of the user's."""
    folder = make_data_folder(tmp_path)
    monkeypatch.setenv("SPILLOVER_DATA", str(folder))
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "SPILLOVER_STORE"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A server for flows that run in this process; it takes 20 seconds to start, so there is one for all tests."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=280):
        yield


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a reported run of four questions that a lexicon judged; to be left as it is."""
    from flows.report_again import report_again
    from tasks.definitions import load_experiment
    from tasks.files import write_rows
    from tasks.judging.cases import plan
    from tasks.judging.judgments import judge_all
    from tasks.paid.store import Store
    from tasks.runs import Run
    from tests.fakes.nouns import LEXICON, an_eval, write_answers

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPILLOVER_DATA", str(make_data_folder(tmp_path_factory.mktemp("made"))))
        experiment, evaluation = load_experiment("standin").model_copy(update={"evals": ["e"]}), an_eval(LEXICON)
        run = Run.open(experiment, [evaluation], "one")
        run.note(seed=0)
        answers = write_answers(run, ("a farm", "two cats"), ("farms and animal welfare", "<script>a dog</script>"))
        write_rows(run.judged, judge_all(plan([evaluation], *answers, 2), Store()))
        report_again(run, [])
        yield run.folder


@pytest.fixture
def run_of_statements(data: Path) -> "Run":
    """A run of yes/no statements alone: nothing was sampled or judged."""
    from tasks.definitions import load_experiment
    from tasks.files import write_rows
    from tasks.runs import Run
    from tests.fakes.statements import a_statement_eval, yes_rows

    definition = load_experiment("standin").model_copy(update={"evals": ["statements"]})
    run = Run.open(definition, [a_statement_eval()], "one")
    for file in (run.baseline, run.finetuned, run.judged):
        write_rows(file, [])
    write_rows(run.likelihoods, yes_rows([0.4] * 18, [0.4 + n / 40 for n in range(18)]))
    return run


@pytest.fixture
def reported_run(made_run: Path, data: Path) -> "Run":
    """A copy of it in the test's own data folder, to be tampered with."""
    from tasks.runs import Run

    return Run(shutil.copytree(made_run, data / "results" / "standin" / "one"))


@pytest.fixture(params=[OURS, *([REALDATA] if REALDATA.is_dir() else [])], ids=lambda place: place.parent.name)
def realdata(request: pytest.FixtureRequest) -> Path:
    """Files in the formats of published ones: small ones of this project, and the published ones where they are."""
    return request.param


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows (objects as JSON, text and bytes as they are) to a file and returns its path."""

    def write(*rows: object, name: str = "rows.jsonl", newline: bytes = b"\n") -> Path:
        lines = [
            row if isinstance(row, bytes) else row.encode() if isinstance(row, str) else json.dumps(row).encode()
            for row in rows
        ]
        path = tmp_path / name
        path.write_bytes(newline.join(lines))
        return path

    return write
