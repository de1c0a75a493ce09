"""A run's folder: the only module that knows the names of its files. A file that exists is finished.

    run = Run.find("demo")                 # or Run.at("demo", "one"), or Run(folder)
    judgments = run.judgments()            # read once, however often they are asked for

data/README.md says what each file holds.
"""

import json
import os
import shlex
import shutil
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tasks.catalog import UserError, check_seed, data_folder, read_fields, validate
from tasks.definitions import are_same, as_yaml, change, read_eval, what_effects_say, with_what_may_change
from tasks.files import Row, copy_file, read_rows, remove_unfinished, write_text
from tasks.locks import exclusive_now
from tasks.schema import (
    Checkpoint,
    Compared,
    Document,
    Effect,
    Eval,
    Experiment,
    Failure,
    Judgment,
    Likelihood,
    Response,
    Share,
    check_name,
)
from tasks.tables import as_table, read_table

if TYPE_CHECKING:
    import polars

LONGEST_FOLDER = 255
"""Bytes of a folder's name."""
CHARTS = ["effects", "over_training", "levels", "questions", "scores", "judges", "boxes"]
CHARTS += ["overview", "matrix", "training_curve"]
"""What the files of a run's charts begin with."""


class Run:
    """data/results/<experiment>/<run>/, and what is in it."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.name = self.folder.name
        self.definition = self.folder / "experiment.yaml"
        self.evals_folder = self.folder / "evals"
        self.record_file = self.folder / "run.json"
        self.documents = self.folder / "documents.jsonl"
        self.held_out = self.folder / "held_out.jsonl"
        self.rejected = self.folder / "rejected.jsonl"
        self.mixture = self.folder / "mixture.json"
        self.metrics = self.folder / "training" / "metrics.jsonl"
        self.checkpoint = self.folder / "checkpoint.json"
        self.baseline = self.folder / "baseline.jsonl"
        self.finetuned = self.folder / "finetuned.jsonl"
        self.judged = self.folder / "judged.jsonl"
        self.failures = self.folder / "failures.jsonl"
        self.likelihoods = self.folder / "likelihoods.jsonl"
        self.effects = self.folder / "effects.csv"
        self.sensitivity = self.folder / "sensitivity.csv"
        self.distributions = self.folder / "distributions.csv"
        self.charts = self.folder / "charts"
        self.conversations = self.folder / "conversations.jsonl"
        self.hits = self.folder / "hits.jsonl"
        self.generations = self.folder / "model_generations.csv"
        self.results = self.folder / "results.md"
        self.audits = self.folder / "audits"
        self.report = self.folder / "report.html"

    @classmethod
    def at(cls, experiment: str, name: str) -> "Run":
        """The run of that name, whether or not it is there."""
        for part in (experiment, name):
            _refuse_what_is_no_folder_name(part, "a run")
        return cls(data_folder() / "results" / experiment / name)

    @classmethod
    def open(cls, experiment: Experiment, evals: list[Eval], name: str) -> "Run":
        """The run of that name, made where it is new; UserError where it was made from another definition."""
        run = cls.at(experiment.name, name)
        run.refuse_a_changed_definition(experiment, evals)
        if run.definition.is_file():
            remove_unfinished(run.folder)
            run._take_over_what_may_change(experiment, evals)
        else:
            run.write_evals(evals)
        write_text(run.definition, as_yaml(experiment))
        return run

    @classmethod
    def derive(cls, parent: "Run", experiment: Experiment, evals: list[Eval], name: str) -> "Run":
        """A new run with another run's documents, model and answers, to be judged otherwise; run.json names the parent.

        Raises UserError for the parent's own name.
        """
        run = cls.at(experiment.name, name)
        if run.folder == parent.folder:
            raise UserError(f"run {name!r} has these judgments already; give the new one another name")
        if not run.definition.is_file():
            trained = [parent.documents, parent.held_out, parent.rejected, parent.mixture, parent.metrics]
            for file in [*trained, parent.checkpoint, parent.baseline, parent.finetuned, parent.likelihoods]:
                if file.is_file():
                    copy_file(file, run.folder / file.relative_to(parent.folder))
            run.note(parent=f"{parent.folder.parent.name}/{parent.name}", seed=parent.record().get("seed", 0))
        return cls.open(experiment, evals, name)

    @classmethod
    def exists(cls, place: str) -> bool:
        """Whether `find` finds a run."""
        try:
            cls.find(place)
        except UserError:
            return False
        return True

    @classmethod
    def find(cls, place: str) -> "Run":
        """A run by its folder, by <experiment>/<run>, or of an experiment the latest that finished.

        Raises UserError where there is none.
        """
        results = data_folder() / "results"
        for folder in (Path(place).expanduser(), results / place):
            if os.path.isfile(folder / "experiment.yaml"):
                return cls(folder.resolve())
        runs = sorted(map(cls, (file.parent for file in (results / place).glob("*/experiment.yaml"))), key=_finished_at)
        if not runs:
            raise UserError(f"no run at {place!r}; `spillover list` shows the runs in {results}")
        return runs[-1]

    @classmethod
    def find_all(cls, place: str) -> list["Run"]:
        """The run of `find`; with a * in the place all that fit it (demo/seed-*), or UserError where none does."""
        if "*" not in place:
            return [cls.find(place)]
        results = data_folder() / "results"
        try:
            files = sorted(results.glob(f"{place}/experiment.yaml"))
        except (ValueError, NotImplementedError):  # not a pattern, or an absolute one
            files = []
        if not files:
            raise UserError(f"no run fits {place!r}; `spillover list` shows the runs in {results}")
        return [cls(file.parent) for file in files]

    def exclusive(self) -> AbstractContextManager[None]:
        """Locks the run while this process writes to it; raises UserError where another process does."""
        return exclusive_now(
            f"run {self.folder.parent.name}/{self.name}",
            f"run {self.name!r} is being written by another process ({self.folder}); wait until that one has ended or "
            "end it, or give this one another name",
        )

    @property
    def identity(self) -> str:
        """What its spending is recorded under, wherever its folder is moved; made when it is first asked for."""
        if not self.record().get("id"):
            self.note(id=uuid4().hex)
        return str(self.record()["id"])

    @property
    def resume_command(self) -> str:
        """The command that resumes the run from its own definition, and so with every override it was started with."""
        if imported := self.record().get("import_command"):
            return str(imported)
        if self._can_only_be_judged():
            return f"spillover judge {shlex.quote(str(self.folder))} --failed"
        return f"spillover run {shlex.quote(str(self.definition))} --run {shlex.quote(self.name)}"

    @property
    def raise_command(self) -> str:
        """The command that resumes the run with a higher limit on its cost; the limit is to be filled in."""
        return self.resume_command + (" --max-cost-usd ..." if self._can_only_be_judged() else " max_cost_usd=...")

    def copy_rows_to(self, folder: Path) -> "Run":
        """A copy below that folder of what was sampled and judged, from which all else can be made anew.

        Rows that are not there yet are empty files in it.
        """
        copy = Run(folder / self.folder.parent.name / self.name)
        for source in (self.evals_folder, self.audits):
            if source.is_dir():
                shutil.copytree(source, copy.folder / source.name)
        rows = [self.baseline, self.finetuned, self.judged]
        known = [self.definition, self.record_file, self.documents, self.mixture, self.metrics, self.likelihoods]
        for file in [*rows, *known, self.failures]:
            if file.is_file():
                copy_file(file, copy.folder / file.relative_to(self.folder))
        for file in (copy.folder / file.name for file in rows):
            file.touch()
        return copy

    def _can_only_be_judged(self) -> bool:
        """Whether nothing can be trained or sampled in it: its answers are another run's, or its folder was moved."""
        is_moved = self.finetuned.is_file() and self.folder.parents[1].resolve() != data_folder() / "results"
        return "parent" in self.record() or is_moved

    def remove_what_judgments_made(self) -> None:
        """Removes effects, charts, audits and report: what is there must belong to the judgments that are there."""
        self._remove_what_effects_made()
        for file in self.chart_files():
            file.unlink()
        with suppress(OSError):  # a file of somebody else's is in it
            self.charts.rmdir()
        for file in self.audits.glob("*.csv"):
            if not file.name.startswith("sheet_"):
                file.unlink()

    def chart_files(self) -> list[Path]:
        """The files in charts/ that have a chart's name, NAME or NAME_EVAL; whatever else lies there is its user's."""
        begins = tuple(f"{name}_" for name in CHARTS)
        formats = (".csv", ".svg", ".html", ".png", ".pdf")
        return [f for f in sorted(self.charts.glob("*")) if f.suffix in formats and f"{f.stem}_".startswith(begins)]

    def experiment(self) -> Experiment:
        """Its definition as it was run; UserError for one that was damaged by hand."""
        return validate(Experiment, read_fields(self.definition), str(self.definition))

    def evals(self) -> list[Eval]:
        """Its evals with the judges and rules of this run, in the order of the experiment."""
        names = [Path(name).name.removesuffix(".yaml").removesuffix(".yml") for name in self.experiment().evals]
        return [read_eval(self.evals_folder / f"{name}.yaml") for name in names]

    def has_same_definition(self, other: "Run") -> bool:
        """Whether the two differ in nothing but their seed, and how far and hard they went."""
        return are_same([self.experiment(), *self.evals()], [other.experiment(), *other.evals()])

    def record(self) -> dict[str, Any]:
        """run.json: seed, versions, times, tokens and costs; empty for a run that has none yet."""
        try:
            record = json.loads(self.record_file.read_text()) if self.record_file.is_file() else {}
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise UserError(f"{self.record_file} is damaged; restore it from a copy, or remove the run's folder")
        return record

    def note(self, **facts: Any) -> None:
        """Adds facts to run.json; a dict is merged into the one that is there."""
        record = self.record()
        for name, fact in facts.items():
            record[name] = {**record.get(name, {}), **fact} if isinstance(fact, dict) else fact
        write_text(self.record_file, json.dumps(record, indent=1, allow_nan=False) + "\n")

    def stage(self) -> str:
        """How far the run is, in a word."""
        last_files = {
            "reported": self.report,
            "judged": self.judged,
            "sampled": self.finetuned,
            "trained": self.checkpoint,
            "documents read": self.documents,
        }
        return next((stage for stage, file in last_files.items() if file.is_file()), "begun")

    def settle_seed(self, given: int | None, default: int) -> int:
        """The run's own seed; a new run takes the given one, or the default. A run never changes its seed."""
        recorded = self.record().get("seed")
        if recorded is None:
            return default if given is None else check_seed(given)
        if given not in (None, recorded):
            raise UserError(f"run {self.name!r} has the seed {recorded}, not {given}; use another run name")
        return int(recorded)

    def trained_on(self) -> list[Document]:
        """The documents of the training, in their shuffled order, without those that were held out."""
        return read_rows(self.documents, Document)

    def model(self) -> Checkpoint:
        """The fine-tuned model."""
        return Checkpoint.model_validate_json(self.checkpoint.read_text())

    def responses(self) -> tuple[list[Response], list[Response]]:
        """The baseline's answers, and the fine-tuned model's at all its checkpoints."""
        return read_rows(self.baseline, Response), read_rows(self.finetuned, Response)

    def failed_calls(self) -> list[Failure]:
        """The judge calls that gave no score."""
        return read_rows(self.failures, Failure) if self.failures.is_file() else []

    def judgments(self) -> list[Judgment]:
        """What the judges said, a row for each judge and answer."""
        return read_rows(self.judged, Judgment)

    def likelihood_rows(self) -> list[Likelihood]:
        """How likely both models find answers; none where they were not asked for."""
        return read_rows(self.likelihoods, Likelihood) if self.likelihoods.is_file() else []

    def estimates(self) -> list[Effect]:
        """The effects of the whole training, without those of earlier checkpoints."""
        return [Effect(**row) for row in self.effects_table().filter(trained_share=1.0).to_dicts()]

    def effects_table(self) -> "polars.DataFrame":
        """effects.csv, a column for each field of an Effect."""
        return read_table(self.effects, Effect)

    def shares(self) -> "polars.DataFrame":
        """distributions.csv, how often each score was given, by tier; empty where no judge has a scale."""
        return read_table(self.distributions, Share) if self.distributions.is_file() else as_table([], Share)

    def rule_variants(self) -> list[Effect]:
        """How the rules' results move with their thresholds; none where there is no rule."""
        return _read_nouns(self.sensitivity, Effect) if self.sensitivity.is_file() else []

    def audit(self, name: str, noun: type[Row]) -> list[Row]:
        """The rows of an audit (repeat, compare, person or corrected); none where there was none."""
        file = self.audits / f"{name}.csv"
        return _read_nouns(file, noun) if file.is_file() else []

    def training_curve(self) -> list[dict[str, Any]]:
        """training/metrics.jsonl: a row for each step and each epoch; none where nothing was trained."""
        return [json.loads(line) for line in self.metrics.read_text().splitlines()] if self.metrics.is_file() else []

    def _take_over_what_may_change(self, experiment: Experiment, evals: list[Eval]) -> None:
        """Takes over rules, margins, targets and the length that a judge's replies may have.

        What was made with other rules, margins or targets is removed, to be made anew. Rules that only the run has
        stay. Replies that ended by themselves serve any length.
        """
        given = {evaluation.name: evaluation for evaluation in evals}
        before = self.evals()
        after = [with_what_may_change(evaluation, given[evaluation.name]) for evaluation in before]
        said, to_say = ([*map(what_effects_say, evaluations)] for evaluations in (before, after))
        if said != to_say or self.experiment().targets != experiment.targets:
            self.replace_evals(after)
        elif after != before:
            self.write_evals(after)

    def replace_evals(self, evals: list[Eval]) -> None:
        """Writes the evals and removes effects and report, which were made with other rules and are to be made anew."""
        self._remove_what_effects_made()  # first: a kill between the two must not leave effects of other rules
        self.write_evals(evals)

    def write_evals(self, evals: list[Eval]) -> None:
        """Writes evals/<name>.yaml of each, and leaves what was made with them."""
        for evaluation in evals:
            write_text(self.evals_folder / f"{evaluation.name}.yaml", as_yaml(evaluation))

    def _remove_what_effects_made(self) -> None:
        tables = (self.effects, self.sensitivity, self.distributions, self.generations)
        for file in (self.report, *tables, self.conversations, self.hits, self.results):
            file.unlink(missing_ok=True)

    def _refuse_a_forgotten_limit(self, before: float, now: float) -> None:
        if not now:
            raise UserError(
                f"run {self.name!r} has max_cost_usd={before:g}; give that limit, or another, also when you resume it"
            )

    def refuse_a_changed_definition(self, experiment: Experiment, evals: list[Eval]) -> None:
        """Raises UserError where the run is there and was made from another definition."""
        if not self.definition.is_file():
            return
        given = {self.definition: experiment, **{self.evals_folder / f"{e.name}.yaml": e for e in evals}}
        for path, now in given.items():
            before = validate(type(now), read_fields(path), str(path)) if path.is_file() else None
            if isinstance(before, Experiment) and isinstance(now, Experiment) and before.max_cost_usd > 0:
                self._refuse_a_forgotten_limit(before.max_cost_usd, now.max_cost_usd)
            if changed := change(before, now):
                raise UserError(
                    f"run {self.name!r} was made from another definition: {changed} in {path}; use another run name"
                )


def _read_nouns(file: Path, noun: type[Row]) -> list[Row]:
    return [noun(**row) for row in read_table(file, noun).to_dicts()]


def _finished_at(run: Run) -> tuple[str, float]:
    """Sorts runs by when they were finished, those that are not before all others."""
    finished = str(run.record().get("finished", "")) if run.report.is_file() else ""
    return finished, run.definition.stat().st_mtime


class Comparison:
    """data/comparisons/<name>/: several runs side by side."""

    def __init__(self, name: str):
        _refuse_what_is_no_folder_name(name, "a comparison")
        self.name = name
        self.folder = data_folder() / "comparisons" / name
        self.table = self.folder / "comparison.csv"
        self.page = self.folder / "comparison.html"
        self.pdf = self.folder / "comparison.pdf"
        self.charts = self.folder / "charts"

    def rows(self) -> list[Compared]:
        """comparison.csv: an effect for each label, eval, measure and tier."""
        return _read_nouns(self.table, Compared)


def _refuse_what_is_no_folder_name(name: str, what: str) -> None:
    """UserError for a name that leads into another folder, or is longer than file systems take."""
    try:
        check_name(name)
        if name in (".", "..") or set(name) & set("/\\*") or len(os.fsencode(name)) > LONGEST_FOLDER:
            raise ValueError("use a plain folder name")
    except ValueError as problem:
        raise UserError(f"{name[:100]!r} cannot be the name of {what}: {problem}") from None


def default_name(created: datetime, identifier: str) -> str:
    """A run's name made of its flow run's creation time and the start of its id, the same when that is retried."""
    return f"{created.astimezone(UTC):%Y%m%d-%H%M%S}-{identifier[:8]}"


def all_runs() -> list[Run]:
    """Every run in data/results, oldest first."""
    files = (data_folder() / "results").glob("*/*/experiment.yaml")
    return [Run(file.parent) for file in sorted(files, key=lambda file: file.stat().st_mtime)]


def all_comparisons() -> list[Comparison]:
    """Every finished comparison in data/comparisons, oldest first."""
    pages = (data_folder() / "comparisons").glob("*/comparison.html")
    return [Comparison(page.parent.name) for page in sorted(pages, key=lambda page: page.stat().st_mtime)]


def cost_words(spent: dict[str, Any]) -> str:
    """What a budget's summary says was spent; nothing where all was free."""
    if not spent or spent["usd"] == 0:
        return ""
    if spent["usd"] is not None:
        return f"${spent['usd']:,.2f}"
    known = sum(stage["usd"] or 0 for stage in spent.values() if isinstance(stage, dict))
    return f"${known:,.2f} and what has no known price" if known else "cost unknown"
