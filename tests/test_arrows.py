"""Arrows of import: deployments → flows → stages → engines and claude → store → schema; no stage imports another."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
STAGES = {"documents", "training", "sampling", "likelihood", "judging", "effects", "charts", "report", "comparison"}
OURS = ("tasks", "flows", "deployments")
APART = {file.parent for file in (PROJECT / "deployments").glob("*/pyproject.toml")}
"""Programs with an environment of their own, which import nothing of ours."""
MODULES = sorted(f for top in OURS for f in (PROJECT / top).rglob("*.py") if not APART & set(f.parents))
ALLOWED = {
    "tasks.schema": set(),
    "tasks.visible": set(),
    "tasks.strict_yaml": set(),
    "tasks.catalog": {"tasks.schema", "tasks.strict_yaml", "tasks.visible"},
    "tasks.tables": set(),
    "tasks.alone": {"tasks.catalog"},
    "tasks.runs": {"tasks.schema", "tasks.catalog", "tasks.alone", "tasks.strict_yaml", "tasks.tables"},
    "tasks.incoming": {"tasks.catalog", "tasks.rows", "tasks.runs"},
    "tasks.store": {"tasks.catalog"},
    "tasks.stage": {"tasks.visible"},
    "tasks.prices": {"tasks.catalog"},
    "tasks.limits": set(),
    "tasks.losses": {"tasks.schema"},
    "tasks.replies": set(),
    "tasks.budget": {"tasks.catalog", "tasks.store"},
    "tasks.claude": {
        "tasks.schema",
        "tasks.catalog",
        "tasks.store",
        "tasks.budget",
        "tasks.limits",
        "tasks.prices",
        "tasks.replies",
    },
    "tasks.rubrics": {"tasks.schema", "tasks.claude", "tasks.store"},
    "tasks.lexicon": {"tasks.schema"},
    "tasks.intervals": set(),
    "tasks.page": {"tasks.power"},
    "tasks.rules": {"tasks.schema", "tasks.intervals"},
    "tasks.rows": {"tasks.catalog", "tasks.tables"},
    "tasks.turns": {"tasks.schema", "tasks.catalog"},
    "tasks.sets": {"tasks.schema", "tasks.catalog", "tasks.rows", "tasks.turns"},
    "tasks.elsewhere": {"tasks.schema", "tasks.catalog", "tasks.rows"},
    "tasks.published": {"tasks.schema", "tasks.catalog", "tasks.rows"},
    "tasks.judged_elsewhere": {"tasks.schema", "tasks.catalog", "tasks.rows", "tasks.elsewhere"},
    "tasks.measures": {"tasks.schema", "tasks.intervals", "tasks.rules"},
    "tasks.distributions": {"tasks.schema", "tasks.intervals", "tasks.rules"},
    "tasks.estimates": {"tasks.schema", "tasks.intervals", "tasks.measures"},
    "tasks.power": {"tasks.schema", "tasks.intervals"},
    "tasks.exports": {"tasks.schema", "tasks.runs", "tasks.rules", "tasks.tables", "tasks.visible"},
    "tasks.audit": {"tasks.schema", "tasks.catalog", "tasks.runs", "tasks.rubrics", "tasks.rows", "tasks.tables"},
}
ENGINES = {"tasks.schema", "tasks.catalog", "tasks.prices"}
STAGE = {"tasks.schema", "tasks.catalog", "tasks.runs", "tasks.store", "tasks.stage", "tasks.claude", "tasks.engines"}
STAGE |= {
    "tasks.alone",
    "tasks.budget",
    "tasks.rubrics",
    "tasks.lexicon",
    "tasks.intervals",
    "tasks.rules",
    "tasks.measures",
    "tasks.distributions",
    "tasks.power",
    "tasks.estimates",
    "tasks.exports",
    "tasks.page",
    "tasks.tables",
    "tasks.visible",
    "tasks.losses",
    "tasks.replies",
    "tasks.sets",
}
HOMES = {
    "anthropic": "tasks.claude",
    "altair": "tasks.charts",
    "vl_convert": "tasks.charts",
    "pypdf": "tasks.charts",
    "sqlalchemy": "tasks.store",
    "jinja2": "tasks.page",
    "yaml": "tasks.strict_yaml",
}
HOMES |= {"krippendorff": "tasks.audit", "sklearn": "tasks.audit"}


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{file}: a relative import"
            found.add(node.module)
    return found


def allowed(module: str) -> set[str]:
    if module in ALLOWED:
        return ALLOWED[module]
    if module.startswith("tasks.engines"):
        return ENGINES | {name_of(f) for f in MODULES if name_of(f).startswith("tasks.engines")}
    return STAGE if module.startswith("tasks") else {name_of(f) for f in MODULES}


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_imports_only_what_the_plan_lets_it(file):
    module, found = name_of(file), imports(file)
    ours = {name for name in found if name.split(".")[0] in OURS}
    assert ours <= allowed(module), f"{module} imports {sorted(ours - allowed(module))}"
    if module.startswith("tasks"):
        assert not any(name.startswith(("flows", "deployments")) for name in found)


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_library_has_one_home(file):
    module = name_of(file)
    tops = {name.split(".")[0] for name in imports(file)}
    for library, home in HOMES.items():
        assert library not in tops or module == home, f"{library} belongs in {home}"
    assert not tops & {"torch", "peft", "tinker", "tinker_cookbook", "transformers", "tokenizers"} or module.startswith(
        "tasks.engines"
    )
    if "prefect" in tops:
        assert (
            module.startswith(("flows", "deployments"))
            or module == "tasks.stage"
            or module.removeprefix("tasks.") in STAGES
        )


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_no_module_is_named_like_one_of_the_standard_library_or_like_nothing_in_particular(file):
    import sys

    assert file.stem not in sys.stdlib_module_names - {"__main__"}
    assert file.stem not in {"utils", "common", "helpers", "core"}


@pytest.mark.parametrize("file", [f for place in APART for f in place.glob("*.py")], ids=lambda f: f.stem)
def test_a_program_with_its_own_environment_imports_nothing_of_ours(file):
    assert not {name.split(".")[0] for name in imports(file)} & set(OURS)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_prefect_appears_only_in_the_last_functions_of_a_stage(stage):
    tree = ast.parse((PROJECT / "tasks" / f"{stage}.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    tasks = [bool(f.decorator_list) and "task" in ast.unparse(f.decorator_list[-1]) for f in functions]
    assert any(tasks)
    assert tasks == sorted(tasks), "a task stands before a pure function"
