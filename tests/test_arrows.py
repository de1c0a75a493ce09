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
    "tasks.locks": {"tasks.catalog"},
    "tasks.runs": {"tasks.schema", "tasks.catalog", "tasks.locks", "tasks.strict_yaml", "tasks.tables"},
    "tasks.documents.inbox": {"tasks.catalog", "tasks.rows", "tasks.runs"},
    "tasks.paid.store": {"tasks.catalog"},
    "tasks.progress": {"tasks.visible"},
    "tasks.paid.prices": {"tasks.catalog"},
    "tasks.judging.limits": set(),
    "tasks.estimates.losses": {"tasks.schema"},
    "tasks.judging.replies": set(),
    "tasks.paid.budget": {"tasks.catalog", "tasks.paid.store"},
    "tasks.judging.claude": {
        "tasks.schema",
        "tasks.catalog",
        "tasks.paid.store",
        "tasks.paid.budget",
        "tasks.judging.limits",
        "tasks.paid.prices",
        "tasks.judging.replies",
    },
    "tasks.judging.rubrics": {"tasks.schema", "tasks.judging.claude", "tasks.paid.store"},
    "tasks.judging.lexicon": {"tasks.schema"},
    "tasks.estimates.intervals": set(),
    "tasks.report.templates": {"tasks.estimates.power"},
    "tasks.estimates.rules": {"tasks.schema", "tasks.estimates.intervals"},
    "tasks.rows": {"tasks.catalog", "tasks.tables"},
    "tasks.documents.turns": {"tasks.schema", "tasks.catalog"},
    "tasks.documents.sets": {"tasks.schema", "tasks.catalog", "tasks.rows", "tasks.documents.turns"},
    "tasks.imports.responses": {"tasks.schema", "tasks.catalog", "tasks.rows"},
    "tasks.imports.published": {"tasks.schema", "tasks.catalog", "tasks.rows"},
    "tasks.imports.results": {"tasks.schema", "tasks.catalog", "tasks.rows", "tasks.imports.responses"},
    "tasks.estimates.measures": {"tasks.schema", "tasks.estimates.intervals", "tasks.estimates.rules"},
    "tasks.estimates.distributions": {"tasks.schema", "tasks.estimates.intervals", "tasks.estimates.rules"},
    "tasks.estimates.estimates": {"tasks.schema", "tasks.estimates.intervals", "tasks.estimates.measures"},
    "tasks.estimates.power": {"tasks.schema", "tasks.estimates.intervals"},
    "tasks.report.exports": {"tasks.schema", "tasks.runs", "tasks.estimates.rules", "tasks.tables", "tasks.visible"},
    "tasks.judging.audit": {
        "tasks.schema",
        "tasks.catalog",
        "tasks.runs",
        "tasks.judging.rubrics",
        "tasks.rows",
        "tasks.tables",
    },
}
ENGINES = {"tasks.schema", "tasks.catalog", "tasks.paid.prices"}
STAGE = {
    "tasks.schema",
    "tasks.catalog",
    "tasks.runs",
    "tasks.paid.store",
    "tasks.progress",
    "tasks.judging.claude",
    "tasks.engines",
}
STAGE |= {
    "tasks.locks",
    "tasks.paid.budget",
    "tasks.judging.rubrics",
    "tasks.judging.lexicon",
    "tasks.estimates.intervals",
    "tasks.estimates.rules",
    "tasks.estimates.measures",
    "tasks.estimates.distributions",
    "tasks.estimates.power",
    "tasks.estimates.estimates",
    "tasks.report.exports",
    "tasks.report.templates",
    "tasks.tables",
    "tasks.visible",
    "tasks.estimates.losses",
    "tasks.judging.replies",
    "tasks.documents.sets",
}
HOMES = {
    "anthropic": "tasks.judging.claude",
    "altair": "tasks.report.charts",
    "vl_convert": "tasks.report.charts",
    "pypdf": "tasks.report.charts",
    "sqlalchemy": "tasks.paid.store",
    "jinja2": "tasks.report.templates",
    "yaml": "tasks.strict_yaml",
}
HOMES |= {"krippendorff": "tasks.judging.audit", "sklearn": "tasks.judging.audit"}


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
            or module == "tasks.progress"
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
