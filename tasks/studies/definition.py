"""A study: loaded by name, and taken apart into its cells, each one fine-tune with one seed that is asked all evals.

study = load_study("traits_on_standin")
runs = [cell.run for cell in cells(study)]
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from tasks.catalog import YAML_KINDS, UserError, data_folder, names, parse_seeds, read_fields, suggestion, validate
from tasks.definitions import apply_override, definition_file, fingerprint, load_evals, resolve_references
from tasks.files import write_text
from tasks.runs import Comparison, Run
from tasks.schema import Eval, Experiment, FineTune, Study

CHOICE = "_choice"
"""The end of the name of an eval that measures a trait by statements; without it, it is the trait's name."""


class Cell(NamedTuple):
    """One fine-tune with one seed: an ordinary run, of an experiment that is named like the study."""

    fine_tune: str
    dose: int
    """The limit of its documents; 0 where the study names none."""
    seed: int
    trait: Mapping[str, str]
    """What it is trained to show `more` or `less` of, by the trait's name; may be empty."""
    experiment: Experiment
    run_name: str
    """<fine-tune>-<dose>-seed-<seed>-<letters>; the letters are others where settings, documents or evals are."""

    @property
    def run(self) -> Run:
        """Its run, whether or not it is there."""
        return Run.at(self.experiment.name, self.run_name)

    @property
    def title(self) -> str:
        """What people call it."""
        return ", ".join([self.fine_tune, *([f"{self.dose} documents"] if self.dose else []), f"seed {self.seed}"])


def is_study(name: str) -> bool:
    """Whether a study is meant by it, and no experiment; a file is one that has fine_tunes."""
    if name.endswith(YAML_KINDS):
        return Path(name).expanduser().is_file() and "fine_tunes" in read_fields(Path(name).expanduser())
    return name in names("studies") and name not in names("experiments")


def load_study(name: str, overrides: Sequence[str] = ()) -> Study:
    """A study by name or by the path of a YAML file, with dotted overrides (`seeds=0-3`) applied.

    Files, folders and evals that it names are looked for beside it, those of an override in the current folder.
    """
    path = definition_file(name, Path(name), "studies")
    fields = read_fields(path)
    for part in _parts(fields):
        resolve_references(part, path.parent, definition=path)
    for override in overrides:
        field = apply_override(fields, override)
        is_of_base = field.startswith("base.")
        resolve_references(fields["base"] if is_of_base else fields, Path.cwd(), within=field.removeprefix("base."))
    changed = f" with {' '.join(overrides)}" if overrides else ""
    return validate(Study, fields, f"{path}{changed}")


def _parts(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Whatever in a study has the fields of an experiment."""
    fine_tunes = fields.get("fine_tunes")
    given = [fields, fields.get("base"), *(fine_tunes if isinstance(fine_tunes, list) else [])]
    return [part for part in given if isinstance(part, dict)]


def folder_of(study: Study) -> Path:
    """data/comparisons/<study>/, where what is made of all cells lies."""
    return Comparison(study.name).folder


def account_of(study: Study) -> str:
    """What the spending of its cells counts towards, in whatever process they run; made when it is first asked for."""
    file = folder_of(study) / "study.json"
    if not file.is_file():
        write_text(file, json.dumps({"id": uuid4().hex}) + "\n")
    try:
        return str(json.loads(file.read_text())["id"])
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{file} is damaged; restore it from a copy: what was spent counts under the id in it"
        ) from None


def cells(study: Study) -> list[Cell]:
    """All cells, those of a fine-tune together, and of these the smaller dose first; nothing is spent or written.

    Raises UserError for an eval or trait that is not there, and for what makes no experiment.
    """
    seeds = parse_seeds(study.seeds.replace(" ", ""), f"study {study.name}: seeds") or [0]
    found, known = [], dict[str, list[Eval]]()
    for fine_tune in study.fine_tunes:
        _refuse_unknown_traits(study, fine_tune)
        for dose in sorted(study.doses) or [0]:
            experiment = _experiment(study, fine_tune, dose)
            evals = _evals_of(experiment, known)
            _refuse_unknown_tiers(study, fine_tune, evals)
            letters = fingerprint([experiment, *evals])
            begins = f"{fine_tune.name}-{dose}" if dose else fine_tune.name
            given = fine_tune.name, dose
            aim = dict(fine_tune.trait)
            found += [Cell(*given, seed, aim, experiment, f"{begins}-seed-{seed}-{letters}") for seed in seeds]
    return found


def trait_of(eval_name: str) -> str:
    """The trait that an eval measures: optimism for traits/optimism, optimism and optimism_choice."""
    return Path(eval_name).name.removesuffix(".yaml").removesuffix(CHOICE)


def _experiment(study: Study, fine_tune: FineTune, dose: int) -> Experiment:
    """What its cells run; the study's name is the folder of all of them."""
    where = f"study {study.name}, fine-tune {fine_tune.name}"
    documents = [one.model_dump() for one in fine_tune.documents] or [{"name": fine_tune.name}]
    if dose and len(documents) > 1:
        raise UserError(f"{where}: a dose is the limit of one set, and it has {len(documents)}: leave doses out")
    differs = {"training": fine_tune.training, "sampling": fine_tune.sampling}
    fields = {
        **study.base,
        **{part: {**study.base.get(part, {}), **given} for part, given in differs.items() if given},
        "name": study.name,
        "description": f"The fine-tune {fine_tune.name} of the study {study.name}.",
        "documents": [{**documents[0], "limit": dose}] if dose else documents,
        "evals": [*study.evals],
    }
    resolve_references(fields, data_folder() / "studies")  # patterns of a study that a form made
    return validate(Experiment, fields, where)


def _evals_of(experiment: Experiment, known: dict[str, list[Eval]]) -> list[Eval]:
    """Its evals; those of fine-tunes that are asked alike are read once."""
    asked = experiment.model_dump_json(include={"evals", "judging", "sampling"})
    if asked not in known:
        known[asked] = load_evals(experiment)
    return known[asked]


def _refuse_unknown_traits(study: Study, fine_tune: FineTune) -> None:
    """UserError for a trait that no eval measures: what was trained would be taken for spill."""
    known = {trait_of(name) for name in (*names("evals"), *study.evals)}
    if unknown := [trait for trait in fine_tune.trait if trait not in known]:
        where = f"study {study.name}, fine-tune {fine_tune.name}: trait"
        raise UserError(f"{where}: no eval measures {unknown[0]!r}{suggestion(unknown[0], known)}")


def _refuse_unknown_tiers(study: Study, fine_tune: FineTune, evals: list[Eval]) -> None:
    """UserError for `when` without a trait, and for a tier that the trait's evals do not have: nothing would leak."""
    tiers = {
        q.tier for evaluation in evals if trait_of(evaluation.name) in fine_tune.trait for q in evaluation.questions
    }
    if unknown := [tier for tier in fine_tune.when if tier not in tiers]:
        there = f"; there is {', '.join(sorted(tiers))}" if tiers else ": say with `trait` what it shows there"
        where = f"study {study.name}, fine-tune {fine_tune.name}: when"
        raise UserError(f"{where}: no tier {unknown[0]!r} in the evals of its trait{there}")
