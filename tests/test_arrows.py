"""Arrows of import, between the rooms of the house: deployments → flows → the stages' rooms → paid → the ground."""

import ast
import sys
from itertools import pairwise
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
OURS = ("tasks", "flows", "deployments")
APART = {file.parent for file in (PROJECT / "deployments").glob("*/pyproject.toml")}
"""Programs with an environment of their own, which import nothing of ours."""
MODULES = sorted(f for top in OURS for f in (PROJECT / top).rglob("*.py") if not APART & set(f.parents))

ROOMS = {
    "tasks": [],  # the ground
    "tasks.paid": ["tasks"],
    "tasks.documents": ["tasks"],
    "tasks.imports": ["tasks"],
    "tasks.services": ["tasks"],
    "tasks.engines": ["tasks", "tasks.paid", "tasks.services"],
    "tasks.models": ["tasks", "tasks.paid", "tasks.engines"],
    "tasks.judging": ["tasks", "tasks.paid", "tasks.services"],
    "tasks.generation": ["tasks", "tasks.paid", "tasks.services", "tasks.judging"],
    "tasks.estimates": ["tasks"],
    "tasks.studies": ["tasks", "tasks.estimates"],
    "tasks.report": ["tasks", "tasks.estimates"],
}
"""What each room may import beside itself; two stages meet in flows alone."""
STAGES = list(ROOMS)
ROOMS |= {"flows": STAGES, "flows.serving": [*STAGES, "flows"], "flows.cli": [*STAGES, "flows", "flows.serving"]}
ROOMS |= {"flows.__main__": list(ROOMS), "deployments": ["flows", "flows.__main__"]}

HOMES = {
    "anthropic": "tasks.judging.claude",
    "openai": "tasks.services.chat_server",
    "altair": "tasks.report",
    "vl_convert": "tasks.report.pictures",
    "pypdf": "tasks.report.rendering",
    "jinja2": "tasks.report.templates",
    "sqlalchemy": "tasks.paid",
    "yaml": "tasks.strict_yaml",
    "gguf": "tasks.engines.smollm2",
    "krippendorff": "tasks.judging.audit",
    "sklearn": "tasks.judging.audit",
    "rensa": "tasks.generation.near_duplicates",
    **dict.fromkeys(("torch", "peft", "transformers", "tokenizers", "tinker", "tinker_cookbook"), "tasks.engines"),
}
"""The one module, or the one room, that knows a library."""
MOST_LINES = 450
LONGEST_FUNCTION = 45
MOST_ON_THE_GROUND = 12
DRAWN = 59
"""Arrows between rooms, as they stand; more of them is a change of the plan."""


@pytest.fixture(autouse=True)
def data():
    """None of a test's own: modules are read where they are."""


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(file): file for file in MODULES}


def room_of(module: str) -> str:
    return module if module in ROOMS else room_of(module.rpartition(".")[0])


def imports(file: Path) -> set[str]:
    """The modules that a file names, those within its functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{file}: a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & NAMES.keys()
            found |= inner or {node.module}
    return found


def ours(file: Path) -> set[str]:
    return {name for name in imports(file) if name.split(".")[0] in OURS}


ARROWS = {(room_of(name), room_of(other)) for name, file in NAMES.items() for other in ours(file)}
ARROWS = {(one, other) for one, other in ARROWS if one != other}


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_imports_only_what_its_room_may(file):
    room = room_of(name_of(file))
    strange = {name for name in ours(file) if room_of(name) not in (room, *ROOMS[room])}
    assert not strange, f"{name_of(file)} is in the room {room} and imports {sorted(strange)}"


def test_the_arrows_between_rooms_are_those_that_were_drawn():
    assert len(ARROWS) == DRAWN, sorted(ARROWS)


def test_no_modules_import_one_another_in_a_circle():
    free = {name: ours(file) & NAMES.keys() - {name} for name, file in NAMES.items()}
    while ready := [name for name, wanted in free.items() if not wanted]:
        free = {name: wanted - set(ready) for name, wanted in free.items() if name not in ready}
    assert not free, f"in a circle: {sorted(free)}"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_library_has_one_home(file):
    module = name_of(file)
    for library in {name.split(".")[0] for name in imports(file)} & HOMES.keys():
        home = HOMES[library]
        assert module == home or module.startswith(f"{home}."), f"{library} belongs in {home}"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_prefect_stands_in_flows_and_in_the_last_functions_of_a_stage(file):
    names = {name.split(".")[0] for name in imports(file)}
    module = name_of(file)
    if "prefect" not in names or not module.startswith("tasks") or module == "tasks.progress":
        return
    body = ast.parse(file.read_text()).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    tasks = [bool(f.decorator_list) and "task" in ast.unparse(f.decorator_list[-1]) for f in functions]
    assert any(tasks)
    assert all(not task or later for task, later in pairwise(tasks)), "a task stands before a pure function"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_no_module_is_named_like_one_of_the_standard_library_or_like_nothing_in_particular(file):
    assert file.stem not in sys.stdlib_module_names - {"__main__"}
    assert file.stem not in {"utils", "common", "helpers", "core", "types"}


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_is_read_in_one_sitting(file):
    assert file.name == "schema.py" or len(file.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_function_fits_on_a_screen(file):
    functions = [
        n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {n.name: (n.end_lineno or 0) - n.lineno + 1 for n in functions}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}


def test_the_ground_is_small():
    assert len([name for name in NAMES if room_of(name) == "tasks" and name != "tasks"]) <= MOST_ON_THE_GROUND


@pytest.mark.parametrize("file", [f for place in APART for f in place.glob("*.py")], ids=lambda f: f.stem)
def test_a_program_with_its_own_environment_imports_nothing_of_ours(file):
    assert not {name.split(".")[0] for name in imports(file)} & set(OURS)


def test_a_test_stands_in_the_room_of_its_module():
    """Tests of a whole flow, of several rooms, or in a browser stand above them, or in tests/browser."""
    rooms = {name.partition(".")[2] for name in ROOMS if "." in name} - {"__main__"}
    tests = [file for file in (PROJECT / "tests").rglob("test_*.py") if file.parent.name in rooms]
    modules = {(file.parent.name, file.stem) for file in MODULES}
    whole = {("engines", "tinker_server"), ("estimates", "coverage"), ("cli", "data")}
    strange = {(file.parent.name, file.stem.removeprefix("test_")) for file in tests} - modules - whole
    assert not strange, f"no module of that name in the room: {sorted(strange)}"
