"""Wrong inputs: each is one sentence with its place and its remedy, without a traceback, and nothing is read wrongly.

A group has a reader, which is given a folder and one wrong input; a case is that input and what the sentence must say.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flows.watch_documents import on_this_set
from tasks.catalog import UserError, document_files, parse_seeds, read_text
from tasks.definitions import load_eval, load_evals, load_experiment
from tasks.documents.inbox import InboxSet
from tasks.documents.mixing import to_set
from tasks.documents.sets import refuse_unusable_rows
from tasks.imports.published import read_published
from tasks.imports.responses import read_responses
from tasks.imports.results import read_results
from tasks.models.local_preview import to_local_preview
from tasks.paid.prices import prices
from tasks.runs import Comparison, Run
from tasks.schema import DocumentSet

LONG = "n" * 300
NINES = "9" * 20
ENDLESS = "9" * 5000


class Group(NamedTuple):
    """What reads wrong inputs of one kind, and those inputs with the words that their sentences must hold."""

    read: Callable[[Path, Any], object]
    cases: list[tuple[Any, ...]]


# ---- experiments --------------------------------------------------------------------------------

EXPERIMENT = "name: x\nevals: [factory_farming]\ndocuments: [{name: factory_farming_neutral}]\n"


def an_experiment(data: Path, text: str | bytes) -> object:
    file = data / "experiments" / "x.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_evals(load_experiment("x"))


def with_fields(data: Path, text: str) -> object:
    return an_experiment(data, EXPERIMENT + text)


def overridden(data: Path, override: str) -> object:
    return load_evals(load_experiment("standin", [override]))


WHOLE = Group(
    an_experiment,
    [
        ("", "x.yaml", "is empty; fill it"),
        (" \n\n", "x.yaml", "is empty; fill it"),
        ("# nothing yet\n", "x.yaml", "found nothing", "name: value"),
        ("- name: x\n", "x.yaml", "found a list", "name: value"),
        ("an experiment", "x.yaml", "'an experiment'", "name: value"),
        ("7", "x.yaml", "found 7", "name: value"),
        ("name: x\nname: y\n", "x.yaml line 2", "'name' is there twice, first in line 1", "keep one"),
        ("name: x\ntraining: {rank: 4, rank: 400}\n", "x.yaml line 2", "'rank' is there twice", "keep one"),
        (
            "name: x\ntraining:\n  rank: 4\n  alpha: 8\n  rank: 400\n",
            "line 5",
            "'rank' is there twice, first in line 3",
        ),
        ("name: x\n'name': y\n", "line 2", "'name' is there twice"),
        ("name: x\nevals: e]: [\n", "line 2", "not valid YAML", "mend it"),
        ("name: x\n\tevals: [e]\n", "line 2", "not valid YAML", "mend it"),
        ("name: x\n description: y\n", "line 2", "not valid YAML", "mend it"),
        ("name: x: y\n", "line 1", "not valid YAML", "needs quotes"),
        ("name: 'x\n", "line 2", "not valid YAML", "mend it"),
        ("name: x\n---\nname: y\n", "line 2", "another document", "mend it"),
        ("name: *x\n", "line 1", "undefined alias", "mend it"),
        ("name: x\nevals: &a [*a]\n", "line 2", "*a stands within what it stands for", "write it out"),
        (
            "name: !!python/object:os.system x\n",
            "line 1",
            "the tag !!python/object:os.system is not read",
            "leave it out",
        ),
        ("name: !!int x\n", "line 1", "the tag !!int", "leave it out"),
        ("name: !mine x\n", "line 1", "the tag !mine", "leave it out"),
        ("evals: " + "[" * 3000, "line 1", "more than 50 levels", "flatter"),
        ("evals: " + "[" * 60 + "]" * 60, "line 1", "more than 50 levels", "flatter"),
        ("a" + ": {a" * 200, "line 1", "more than 50 levels", "flatter"),
        ("".join(f"{'  ' * n}a:\n" for n in range(80)), "line 50", "more than 50 levels", "flatter"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
            ),
            "line 7",
            "with *f written out it is over 10,000,000 letters",
            "fewer aliases",
        ),
        (b"name: \x00\n", "line 1", "'\\x00' is not allowed", "take it out"),
        (b"name: x\ndescription: \x07\n", "line 2", "'\\x07' is not allowed", "take it out"),
        ("name: x\n".encode("utf-16"), "line 1", "not UTF-8 text", "save it as UTF-8"),
        (b"name: x\ndescription: caf\xe9\n", "line 2", "not UTF-8 text", "save it as UTF-8"),
        ("7: x\n", "line 1", "the name '7' is not read as text", "put quotes around it"),
        ("true: x\n", "line 1", "the name 'true' is not read as text", "put quotes around it"),
        ("~: x\n", "line 1", "the name '~' is not read as text", "put quotes around it"),
        ("? [a]\n: b\n", "line 1", "the name in brackets is not read as text"),
        ("documents: [{name: a}]\nevals: [e]\n", "x.yaml", "name: this field is missing"),
        ("name: x\ndocuments: [{name: a}]\n", "x.yaml", "evals: this field is missing"),
        ("name: x\nevals: [e]\n", "x.yaml", "give either documents to train on or responses"),
        (EXPERIMENT + "responses: answers\n", "x.yaml", "give either documents to train on or responses"),
        ("name: x\nevals: []\ndocuments: [{name: a}]\n", "x.yaml", "evals: list should have at least 1 item"),
        ("name: x\nevals: e\ndocuments: [{name: a}]\n", "x.yaml", "evals: input should be a valid list (found 'e')"),
        (
            "name: x\nevals: [7]\ndocuments: [{name: a}]\n",
            "evals.0: input should be a valid string (found 7)",
            "quotes",
        ),
        ("name: x\nevals: ['']\ndocuments: [{name: a}]\n", "no eval ''", "there is"),
        (
            "name: x\nevals: [factory_framing]\ndocuments: [{name: a}]\n",
            "no eval 'factory_framing'",
            "did you mean factory",
        ),
        (
            "name: x\nevals: [nowhere.yaml]\ndocuments: [{name: a}]\n",
            "'nowhere.yaml' is not a file",
            "give a YAML file",
        ),
        (
            "name: x\nevals: [factory_farming, factory_farming]\ndocuments: [{name: a}]\n",
            "is there twice",
            "each eval once",
        ),
        ("name: a b\nevals: [e]\ndocuments: [{name: a}]\n", "name: use letters, digits", "(found 'a b')"),
        ("name: ../x\nevals: [e]\ndocuments: [{name: a}]\n", "name: use letters, digits", "(found '../x')"),
        ("name: ''\nevals: [e]\ndocuments: [{name: a}]\n", "name: use letters, digits", "(found '')"),
        (f"name: {LONG}\nevals: [e]\ndocuments: [{{name: a}}]\n", "name: string should have at most 100 characters"),
        ('name: "x\\n"\nevals: [e]\ndocuments: [{name: a}]\n', "name: use letters, digits", "found 'x\\n'"),
        (
            "name: 7\nevals: [e]\ndocuments: [{name: a}]\n",
            "name: input should be a valid string (found 7)",
            "put quotes",
        ),
        ("name: 010\nevals: [e]\ndocuments: [{name: a}]\n", "line 1", "010 is read as different numbers", "put quotes"),
        ("name: x\nevals: [e]\ndocuments: a\n", "documents: input should be a valid list (found 'a')"),
        ("name: x\nevals: [e]\ndocuments: [a]\n", "documents.0: expected fields with names (found 'a')"),
        ("name: x\nevals: [e]\ndocuments: [{}]\n", "documents.0: give either a name or a path"),
        ("name: x\nevals: [e]\ndocuments: [{name: a, path: b}]\n", "documents.0: give either a name or a path"),
        (
            "name: x\nevals: [e]\ndocuments: [{name: a, cout: 1}]\n",
            "documents.0.cout: unknown field; did you mean count?",
        ),
        (
            "name: x\nevals: [e]\ndocuments: [{name: a, count: 1, limit: 2}]\n",
            "documents.0: give one of count, fraction",
        ),
        ("name: x\nevals: [e]\ndocuments: [{name: a, count: -1}]\n", "documents.0.count", "greater than or equal to 0"),
        (
            f"name: x\nevals: [e]\ndocuments: [{{name: a, count: {NINES}}}]\n",
            "documents.0.count",
            "less than or equal to",
        ),
        (
            "name: x\nevals: [e]\ndocuments: [{name: a, fraction: 1.5}]\n",
            "documents.0.fraction",
            "less than or equal to 1",
        ),
        (
            "name: x\nevals: [e]\ndocuments: [{name: a, fraction: 50%}]\n",
            "documents.0.fraction",
            "valid number",
            "'50%'",
        ),
        (
            "name: x\nevals: [e]\ndocuments: [{name: a, weight: .inf}]\n",
            "documents.0.weight",
            "finite number (found inf)",
        ),
        ("name: x\nevals: [e]\ndocuments: [{name: a, weight: 1e-9}]\n", "documents.0: weight is too small", "0.000001"),
        (
            "name: x\nevals: [e]\ndocuments: [{name: a, conditioning: chats}]\n",
            "documents.0.conditioning",
            "'chat', 'prefix', 'tag', 'first_third' or 'plain'",
        ),
    ],
)
FIELDS = Group(
    with_fields,
    [
        ("training: {lerning_rate: 1}", "x.yaml", "training.lerning_rate: unknown field; did you mean learning_rate?"),
        ("trainning: {}", "x.yaml", "trainning: unknown field; did you mean training?"),
        ("training:", "training: expected fields with names (found None)"),
        ("training: local", "training: expected fields with names (found 'local')"),
        ("training: [rank]", "training: expected fields with names (found a list)"),
        ("training: {rank: 0}", "training.rank: input should be greater than or equal to 1 (found 0)"),
        ("training: {rank: 513}", "training.rank: input should be less than or equal to 512 (found 513)"),
        ("training: {rank: 8.5}", "training.rank", "valid integer", "(found 8.5)"),
        ("training: {rank: eight}", "training.rank", "valid integer", "(found 'eight')"),
        ("training: {rank: true}", "training.rank: true and false are truth values: write a number"),
        ("training: {rank: [8]}", "training.rank: input should be a valid integer (found a list)"),
        ("training: {rank:}", "training.rank: input should be a valid integer (found None)"),
        ("training: {rank: 010}", "line 4", "010 is read as different numbers", "without 0 before it"),
        ("training: {rank: 1_6}", "line 4", "1_6 is read as different numbers", "without _"),
        ("training: {rank: 0x10}", "training.rank", "valid integer", "(found '0x10')"),
        ("training: {rank: 0o10}", "training.rank", "valid integer", "(found '0o10')"),
        ("training: {rank: 1:30}", "training.rank", "valid integer", "(found '1:30')"),
        ("training: {rank: 2026-05-01}", "training.rank", "valid integer", "(found '2026-05-01')"),
        (f"training: {{rank: {NINES}}}", "training.rank: input should be less than or equal to 512"),
        (f"training: {{rank: {ENDLESS}}}", "line 4", "a number of 5,000 digits", "write at most 30"),
        (f"training: {{alpha: 0.{ENDLESS}}}", "line 4", "a number of 5,002 digits", "write at most 30"),
        ("training: {alpha: .inf}", "training.alpha: input should be a finite number (found inf)"),
        ("training: {alpha: .nan}", "training.alpha: input should be a finite number (found nan)"),
        ("training: {alpha: inf}", "training.alpha: input should be a finite number (found 'inf')"),
        ("training: {alpha: 1e999}", "training.alpha: input should be a finite number (found inf)"),
        ("training: {alpha: 0}", "training.alpha: input should be greater than 0 (found 0)"),
        ("training: {alpha: '1,5'}", "training.alpha: input should be a valid number", "(found '1,5')"),
        ("training: {alpha: false}", "training.alpha: true and false are truth values"),
        ("training: {learning_rate: 1}", "training.learning_rate: input should be less than 1"),
        ("training: {learning_rate: -1e-4}", "training.learning_rate: input should be greater than 0 (found -0.0001)"),
        ("training: {learning_rate: nan}", "training.learning_rate: input should be a finite number"),
        ("training: {weight_decay: 1}", "training.weight_decay: input should be less than 1"),
        ("training: {engine: tinkr}", "training.engine: input should be 'local', 'tinker' or 'served' (found 'tinkr')"),
        ("training: {optimizer: sgd}", "training.optimizer", "'adamw' or 'adamw_8bit'", "(found 'sgd')"),
        ("training: {schedule: linaer}", "training.schedule", "'linear', 'cosine' or 'constant'"),
        ("training: {rslora: maybe}", "training.rslora", "valid boolean", "(found 'maybe')"),
        (f"training: {{epochs: {NINES}}}", "training.epochs: input should be less than or equal to 10000"),
        ("training: {epochs: 0}", "training.epochs: input should be greater than or equal to 1"),
        (f"training: {{batch_size: {NINES}}}", "training.batch_size: input should be less than or equal to"),
        (f"training: {{accumulation: {NINES}}}", "training.accumulation: input should be less than or equal to"),
        (f"training: {{max_length: {NINES}}}", "training.max_length: input should be less than or equal to"),
        (f"training: {{warmup: {NINES}}}", "training.warmup: input should be less than or equal to"),
        (f"training: {{held_out: {NINES}}}", "training.held_out: input should be less than or equal to"),
        ("training: {keep_days: 4000}", "training.keep_days: input should be less than or equal to 3650"),
        ("training: {layers: [-1]}", "training.layers.0: input should be greater than or equal to 0 (found -1)"),
        ("training: {layers: [2, true]}", "training.layers: true and false are truth values"),
        ("training: {layers: 2}", "training.layers: input should be a valid list (found 2)"),
        ("training: {target_modules: []}", "training.target_modules: list should have at least 1 item"),
        ("training: {target_modules: ['']}", "training.target_modules.0: it is empty: write a text"),
        ("training: {sample_at: [1.5]}", "training.sample_at: 1.5 is no share of the training", "above 0, at most 1"),
        ("training: {sample_at: [.nan]}", "training.sample_at.0: input should be a finite number"),
        (
            "training: {base_url: localhost:8000}",
            "training.base_url: it is no address",
            "write http://",
            "'localhost:8000'",
        ),
        ("training: {base_url: 'file:///etc/passwd'}", "training.base_url: it is no address", "write http://"),
        ("training: {base_url: 'http://'}", "training.base_url: it is no address", "and a host"),
        (
            "training: {base_url: 'http://me:secret@h'}",
            "training.base_url: it holds a user or a password",
            "take it out",
        ),
        ("sampling: {n_samples: 0}", "sampling.n_samples: input should be greater than or equal to 1"),
        (f"sampling: {{n_samples: {NINES}}}", "sampling.n_samples: input should be less than or equal to 100000"),
        ("sampling: {n_samples: 1,000}", "line 4", "not read as text"),
        ("sampling: {temperature: 3}", "sampling.temperature: input should be less than or equal to 2"),
        ("sampling: {temperature: .nan}", "sampling.temperature: input should be a finite number"),
        ("sampling: {temperature: 0}", "sampling: at temperature 0 all samples are the same", "set n_samples to 1"),
        ("sampling: {top_p: 0}", "sampling.top_p: input should be greater than 0"),
        (f"sampling: {{max_tokens: {NINES}}}", "sampling.max_tokens: input should be less than or equal to 1000000"),
        (
            "sampling: {system_prompt: 7}",
            "sampling.system_prompt: input should be a valid string (found 7)",
            "put quotes",
        ),
        ("sampling: {system_prompt: true}", "sampling.system_prompt: true and false are truth values", "put quotes"),
        ('sampling: {system_prompt: "\\ud83d"}', "x.yaml line 4", "half a character", "write the character itself"),
        ("judging: {in_flight: 0}", "judging.in_flight: input should be greater than or equal to 1"),
        (f"judging: {{in_flight: {NINES}}}", "judging.in_flight: input should be less than or equal to"),
        ("judging: {max_unscored: .nan}", "judging.max_unscored: input should be a finite number"),
        (f"judging: {{max_outage: {NINES}}}", "judging.max_outage: input should be less than or equal to 2592000"),
        ("judging: {judges: lexicon}", "judging.judges: input should be a valid list (found 'lexicon')"),
        ("judging: {judges: [lexcon]}", "judging.judges: no judge 'lexcon'", "did you mean lexicon"),
        ("default_seed: -1", "default_seed: input should be greater than or equal to 0 (found -1)"),
        ("default_seed: 4294967296", "default_seed: input should be less than or equal to 4294967295"),
        ("default_seed: 1.5", "default_seed", "valid integer", "(found 1.5)"),
        ("max_cost_usd: .inf", "max_cost_usd: input should be a finite number (found inf)"),
        ("max_cost_usd: -5", "max_cost_usd: input should be greater than or equal to 0"),
        ("max_cost_usd: $5", "max_cost_usd: input should be a valid number", "(found '$5')"),
        ("targets: [aligned]", "'aligned' is no condition", "write a judge, a comparison and a number"),
        ("targets: [aligned == TRUE]", "'aligned == TRUE' is no target", "aligned < 75"),
        (f"targets: [aligned < {'9' * 400}]", "is too large", "fewer digits"),
        ("description: [a]", "description: input should be a valid string (found a list)"),
        ("description:", "description: input should be a valid string (found None)"),
        ("\n".join(f"field_{n}: 1" for n in range(2000)), "field_0: unknown field", "and 1,995 more"),
    ],
)
OVERRIDES = Group(
    overridden,
    [
        ("rank", "'rank' is not an override", "write field=value"),
        ("training.rnak=1", "standin.yaml with training.rnak=1", "training.rnak: unknown field; did you mean rank?"),
        ("training.rank=0", "training.rank=0", "training.rank: input should be greater than or equal to 1"),
        ("training.rank=010", "'training.rank=010'", "010 is read as different numbers"),
        ("training.rank=1_000", "'training.rank=1_000'", "1_000 is read as different numbers", "without _"),
        ("training.rank=[", "'training.rank=['", "not valid YAML"),
        ("training={rank: 4, rank: 400}", "'rank' is there twice", "keep one"),
        (f"training.rank={ENDLESS}", "a number of 5,000 digits"),
        ("training.alpha=nan", "training.alpha: input should be a finite number"),
        ("training.rank=", "training.rank: input should be a valid integer", "(found '')"),
        ("training.rank=true", "training.rank: true and false are truth values"),
        ("training.rank.x=1", "there is no 'rank' to set a field of"),
        ("documents.3.limit=1", "there is no '3' to set a field of; the list has one entry, 0"),
        ("documents.²=1", "documents has one entry, 0"),
        ("documents.-1.limit=1", "there is no '-1' to set a field of"),
        (f"documents.{ENDLESS}.limit=1", "to set a field of"),
        ("documents.5={}", "documents has one entry, 0"),
        ("=5", "'=5' is not an override", "write field=value"),
        ("..=5", "unknown field"),
        ("sampling.temperature=1:30", "sampling.temperature", "(found '1:30')"),
        ("default_seed=-1", "default_seed: input should be greater than or equal to 0"),
        ("evals=[factory_framing]", "no eval 'factory_framing'", "did you mean factory_farming"),
        (f"name={LONG}", "name: string should have at most 100 characters"),
        ("training.base_url=ftp://h", "training.base_url: it is no address", "write http://"),
    ],
)

# ---- evals --------------------------------------------------------------------------------------

EVAL = "name: e\nquestions: [{id: q, tier: t, text: Why}]\n"


def an_eval(data: Path, text: str) -> object:
    (data / "evals" / "e.yaml").write_text(text)
    return load_eval("e")


def a_judge(data: Path, fields: str) -> object:
    return an_eval(data, EVAL + f"judges:\n  - {{name: j, {fields}}}\n")


EVALS = Group(
    an_eval,
    [
        ("name: e\n", "e.yaml", "questions: this field is missing"),
        (
            "name: other\nquestions: [{id: q, tier: t, text: Why}]\njudges: [{name: j, kind: claude, prompt: p}]",
            "its name is 'other'",
        ),
        (
            "name: e\nquestions: []\njudges: []",
            "questions: list should have at least 1 item",
            "judges: name at least one judge",
        ),
        (EVAL + "judges: []", "judges: name at least one judge that reads the answers"),
        ("name: e\nquestions: [Why]\njudges: []", "questions.0: expected fields with names (found 'Why')"),
        ("name: e\nquestions: [{id: q, tier: t, text: ''}]\njudges: []", "questions.0.text: it is empty: write a text"),
        (
            "name: e\nquestions: [{id: q, tier: t, text: ' '}]\njudges: []",
            "questions.0.text: it is empty: write a text",
        ),
        (
            "name: e\nquestions: [{id: '', tier: t, text: Why}]\njudges: []",
            "questions.0.id: it is empty: write a text",
        ),
        (
            "name: e\nquestions: [{id: q, tier: '', text: Why}]\njudges: []",
            "questions.0.tier: it is empty: write a text",
        ),
        (
            "name: e\nquestions: [{id: 1, tier: t, text: Why}]\njudges: []",
            "questions.0.id: input should be a valid string",
            "quotes",
        ),
        (
            "name: e\nquestions: [{id: 007, tier: t, text: Why}]\njudges: []",
            "line 2",
            "007 is read as different numbers",
        ),
        (
            f"name: e\nquestions: [{{id: {LONG}, tier: t, text: Why}}]\njudges: []",
            "questions.0.id: a name of 300 letters",
            "100 are the most",
        ),
        (
            'name: e\nquestions: [{id: "a\\tb", tier: t, text: Why}]\njudges: []',
            "questions.0.id: it holds a control character",
            "take it out",
        ),
        (
            "name: e\nquestions: [{id: q, tier: t, text: yes, matching: maybe}]\njudges: []",
            "questions.0.matching: write Yes or No",
        ),
        (
            "name: e\nquestions: [{id: q, tier: t, text: Why, matching: true}]\njudges: []",
            "questions.0.matching: write Yes or No (found True)",
        ),
        (
            "name: e\nquestions: [{id: q, tier: t, txt: Why}]\njudges: []",
            "questions.0.txt: unknown field; did you mean text?",
        ),
        (
            EVAL + "judges: [{name: a, kind: claude, prompt: p}, {name: a, kind: claude, prompt: p}]",
            "'a' is there twice",
        ),
        (
            EVAL.replace("}]", "}, {id: q, tier: t, text: What}]") + "judges: [{name: a, kind: claude, prompt: p}]",
            "'q' is there twice",
        ),
        (
            EVAL.replace("tier: t", "tier: all") + "judges: [{name: a, kind: claude, prompt: p}]",
            "'all' is what results over tiers",
        ),
        (
            EVAL + "judges: [{name: a, kind: claude, prompt: p}]\nequivalence_margin: 2",
            "equivalence_margin: input should be less than 1",
        ),
        (
            EVAL + "judges: [{name: a, kind: claude, prompt: p}]\nequivalence_margin: .nan",
            "equivalence_margin: input should be a finite number",
        ),
        (
            EVAL + "judges: [{name: a, kind: claude, prompt: p}]\nequivalence_margins: {b: 0.3}",
            "equivalence_margins: 'b' is no measure; there is a",
        ),
        (
            EVAL + "judges: [{name: a, kind: claude, prompt: p}]\nequivalence_margins: {a: 4}",
            "equivalence_margins: 4 is all of the range of 'a'",
        ),
        (
            EVAL + "judges: [{name: a, kind: claude, prompt: p}]\nequivalence_margins: {a: 0}",
            "equivalence_margins.a: input should be greater than 0",
        ),
        (
            EVAL
            + "judges: [{name: a, kind: claude, prompt: p}]\nrules: [{name: r, hit: a < 3}]\n"
            + "equivalence_margins: {r: 0.01}",
            "'r' is a rule: write equivalence_margin into the rule",
        ),
        (
            EVAL + "judges: [{name: a, kind: claude, prompt: p}]\nrules: [{name: r}]",
            "rules.0.hit: this field is missing",
        ),
        (EVAL + "judges: [{name: a, kind: claude, prompt: p}]\nrules: [{name: r, hit: a}]", "'a' is no condition"),
        (
            EVAL + "judges: [{name: a, kind: claude, prompt: p}]\nrules: [{name: r, hit: b < 3}]",
            "'b' is no judge of this eval",
        ),
        (
            EVAL + "judges: [{name: a, kind: claude, prompt: p}]\nrules: [{name: r s, hit: a < 3}]",
            "rules.0.name: use letters",
        ),
        (
            EVAL
            + f"judges: [{{name: a, kind: claude, prompt: p}}]\nrules: [{{name: r, hit: a < 3, min_answers: {NINES}}}]",
            "min_answers",
        ),
        (EVAL + "asks: choices", "with asks: choices every question needs matching: Yes or No; 'q' has none"),
        (EVAL + "asks: choices\njudges: [{name: a, kind: yes_no}]", "leave judges and rules out"),
        (EVAL + "log_odds: true\njudges: [{name: a, kind: claude, prompt: p}]", "log_odds are those of statements"),
        (EVAL + "asks: both", "asks: input should be 'answers' or 'choices'"),
        (EVAL + "judges: [{name: drift, kind: claude, prompt: p}]", "'drift' is what a measure without a judge"),
        (EVAL + "judges: [{name: a, kind: yes_no}]", "needs matching: Yes or No at question 'q'"),
        (EVAL + "judges: [{name: a, kind: exact}]", "needs accepted: [right answers] at question 'q'"),
    ],
)
JUDGES = Group(
    a_judge,
    [
        (
            "kind: calude, prompt: p",
            "judges.0.kind",
            "'claude', 'chat', 'lexicon', 'yes_no', 'exact' or 'imported'",
            "(found 'calude')",
        ),
        ("kind: claude", "judges.0: a judge of kind claude needs a prompt"),
        ("kind: claude, prompt: ' '", "judges.0: a judge of kind claude needs a prompt"),
        ("kind: claude, prompt: p, model: ''", "judges.0.model: it is empty: write a text"),
        ("kind: claude, prompt: p, max_tokens: 1", "judges.0.max_tokens: input should be greater than or equal to 16"),
        (f"kind: claude, prompt: p, max_tokens: {NINES}", "judges.0.max_tokens: input should be less than or equal to"),
        ("kind: claude, prompt: p, temperature: .nan", "judges.0.temperature: input should be a finite number"),
        ("kind: claude, prompt: p, temperature: 2", "judges.0.temperature: input should be less than or equal to 1"),
        ("kind: claude, prompt: p, scale: 5", "judges.0.scale: expected fields with names (found 5)"),
        ("kind: claude, prompt: p, scale: {low: 5, high: 1}", "judges.0.scale: low (5) must be below high (1)"),
        ("kind: claude, prompt: p, scale: {low: 0, hihg: 1}", "judges.0.scale.hihg: unknown field; did you mean high?"),
        (
            "kind: claude, prompt: p, scale: {low: 0, high: 20000000}",
            "a scale from 0 to 20000000 is too long",
            "1,000 steps",
        ),
        (
            f"kind: claude, prompt: p, scale: {{low: 0, high: {NINES}}}",
            "judges.0.scale.high: input should be less than",
        ),
        (
            "kind: claude, prompt: p, scale: {low: false, high: 1}",
            "judges.0.scale.low: true and false are truth values",
        ),
        ("kind: claude, prompt: p, labels: {TRUE: 1}", "line 4", "the name 'TRUE' is not read as text", "put quotes"),
        ("kind: claude, prompt: p, labels: {A: 1, A: 0}", "line 4", "'A' is there twice", "keep one"),
        ("kind: claude, prompt: p, labels: {A: 1, a: 0}", "judges.0: two labels differ in nothing but case"),
        ("kind: claude, prompt: p, labels: {A: true}", "judges.0.labels: true and false are truth values"),
        ("kind: claude, prompt: p, labels: {A: 1.5}", "judges.0.labels.A", "valid integer", "(found 1.5)"),
        (
            "kind: claude, prompt: p, labels: {A: null}",
            "judges.0: no label stands for a score",
            "give at least one a number",
        ),
        ("kind: claude, prompt: p, labels: {'1': 1}", "judges.0: '1' is no label: use words"),
        ("kind: claude, prompt: p, labels: [A]", "judges.0.labels: input should be a valid dictionary (found a list)"),
        ("kind: claude, prompt: p, swap: true", "judges.0: swap needs a judge that reads pairs"),
        ("kind: claude, prompt: p, only_if: good", "judges.0: 'good' is no condition"),
        ("kind: claude, prompt: p, only_if: good > 3", "judge 'j': only_if names 'good', which is no judge before it"),
        (
            "kind: claude, prompt: p, terms: {a: 1}",
            "judges.0: a judge of kind claude takes no terms (only lexicon): leave it out",
        ),
        ("kind: claude, prompt: p, thresholds: [1]", "a judge of kind claude takes no thresholds (only lexicon)"),
        ("kind: claude, prompt: p, base_url: localhost:8000", "judges.0.base_url: it is no address", "write http://"),
        ("kind: claude, prompt: p, base_url: 'file:/tmp/x'", "judges.0.base_url: it is no address", "write http://"),
        ("kind: claude, prompt: p, base_url: //h", "judges.0.base_url: it is no address", "write http://"),
        ("kind: claude, prompt: p, base_url: 'http:///v2'", "judges.0.base_url: it is no address", "and a host"),
        ("kind: claude, prompt: p, base_url: 'http://h:99999'", "judges.0.base_url: it is no address"),
        ("kind: claude, prompt: p, base_url: 'http://h?key=1'", "judges.0.base_url: it is no address"),
        ("kind: claude, prompt: p, base_url: 'http://a b'", "judges.0.base_url: it is no address"),
        (
            "kind: claude, prompt: p, base_url: 'http://h/v1'",
            "judges.0.base_url: it ends in /v1: leave that out, the client adds",
        ),
        ("kind: claude, prompt: p, base_url: 'https://h/x/v1/'", "judges.0.base_url: it ends in /v1: leave that out"),
        (
            "kind: claude, prompt: p, base_url: 'http://h/v1/messages'",
            "judges.0.base_url: it ends in /v1/messages: leave that out",
        ),
        (
            "kind: claude, prompt: p, base_url: 'http://me:planted@h'",
            "judges.0.base_url: it holds a user or a password",
            "take it out",
        ),
        ("kind: lexicon", "judges.0: a judge of kind lexicon needs terms"),
        ("kind: lexicon, terms: {a: 1}", "judges.0: a lexicon on this scale needs 4 rising thresholds"),
        ("kind: lexicon, terms: {a: 1}, thresholds: [1, 2, 2, 3]", "needs 4 rising thresholds"),
        (
            "kind: lexicon, terms: {a: .nan}, thresholds: [1, 2, 3, 4]",
            "judges.0.terms.a: input should be a finite number",
        ),
        (
            "kind: lexicon, terms: {a: true}, thresholds: [1, 2, 3, 4]",
            "judges.0.terms: true and false are truth values",
        ),
        ("kind: lexicon, terms: {'': 1}, thresholds: [1, 2, 3, 4]", "it is empty: write a text"),
        ("kind: lexicon, terms: {'*': 1}, thresholds: [1, 2, 3, 4]", "'*' is no term: write a word"),
        (
            "kind: lexicon, terms: {a: 1}, thresholds: [1, 2, 3, .nan]",
            "judges.0.thresholds.3: input should be a finite number",
        ),
        (
            "kind: lexicon, terms: {a: 1}, thresholds: [1, 2, 3, .inf]",
            "judges.0.thresholds.3: input should be a finite number",
        ),
        (
            "kind: lexicon, terms: {a: 1}, thresholds: [1], scale: {low: 0, high: 20000000}",
            "is too long",
            "1,000 steps",
        ),
        (
            "kind: lexicon, terms: {a: 1}, thresholds: [1, 2, 3, 4], model: claude-x",
            "a judge of kind lexicon takes no model (only claude or chat)",
        ),
        (
            "kind: lexicon, terms: {a: 1}, thresholds: [1, 2, 3, 4], prompt: p",
            "takes no prompt (only claude or chat): leave it out",
        ),
        (
            "kind: lexicon, terms: {a: 1}, thresholds: [1, 2, 3, 4], temperature: 0",
            "takes no temperature (only claude or chat)",
        ),
        (
            "kind: lexicon, terms: {a: 1}, thresholds: [1, 2, 3, 4], base_url: 'http://h'",
            "takes no base_url (only claude or chat)",
        ),
        (
            "kind: lexicon, terms: {a: 1}, thresholds: [1, 2, 3, 4], labels: {A: 1}",
            "takes no labels (only claude, chat or imported)",
        ),
        ("kind: chat, prompt: p", "a judge of kind chat needs a model: write the name that its server gives it"),
        (
            "kind: chat, model: m, prompt: p, base_url: http://h/v1/chat/completions",
            "judges.0.base_url: it ends in /chat/completions: leave that out",
        ),
        ("kind: claude, prompt: p, seed: 1", "a judge of kind claude takes no seed (only chat): leave it out"),
        (
            "kind: claude, prompt: p, answers: probabilities",
            "the Messages API gives no probabilities of tokens: make it kind",
        ),
        (
            "kind: chat, model: m, prompt: p, answers: probabilities, labels: {YES: 1, NO: 0}",
            "probabilities are read of a scale's numbers: give it a scale, and null to each label",
        ),
        (
            "kind: chat, model: m, prompt: p, answers: probabilities, temperature: 0.5",
            "probabilities are those of temperature 0: leave temperature out",
        ),
        (
            "kind: yes_no, reads: pair",
            "a judge of kind yes_no takes no reads (only claude, chat or lexicon): leave it out",
        ),
        ("kind: yes_no, terms: {a: 1}", "a judge of kind yes_no takes no terms (only lexicon): leave it out"),
        ("kind: yes_no, labels: {A: 1}", "a judge of kind yes_no takes no labels"),
        ("kind: yes_no, scale: {low: 0, high: 1}", "a judge of kind yes_no takes no scale"),
        ("kind: imported, model: m", "a judge of kind imported takes no model (only claude or chat): leave it out"),
        ("kind: imported, swap: true", "a judge of kind imported takes no swap (only claude or chat): leave it out"),
        ("name: ''", "line 4", "'name' is there twice"),
    ],
)
NAMELESS = Group(
    lambda data, name: an_eval(data, EVAL + f"judges: [{{name: {name}, kind: claude, prompt: p}}]"),
    [
        ("''", "judges.0.name: it is empty: write a text"),
        ("' '", "judges.0.name: it is empty: write a text"),
        ('"a\\nb"', "judges.0.name: it holds a control character or a line break: take it out"),
        (LONG, "judges.0.name: a name of 300 letters is too long: 100 are the most"),
        ("2026", "judges.0.name: input should be a valid string (found 2026)", "put quotes around it"),
    ],
)

# ---- names, seeds, sets, prices, files --------------------------------------------------------------


def a_run(data: Path, name: str) -> object:
    return Run.at("standin", name)


def price_table(data: Path, text: str) -> object:
    (data / "prices.yaml").write_text(text)
    return prices("claude", "m")


RUNS = Group(
    a_run,
    [
        (LONG, "cannot be the name of a run", "a name of 300 letters is too long: 100 are the most"),
        ("城" * 99, "cannot be the name of a run", "use a plain folder name"),
        ("", "'' cannot be the name of a run", "it is empty"),
        (" ", "cannot be the name of a run", "it is empty"),
        ("..", "'..' cannot be the name of a run", "use a plain folder name"),
        ("../x", "'../x' cannot be the name of a run", "use a plain folder name"),
        ("a\\b", "cannot be the name of a run", "use a plain folder name"),
        ("seed-*", "'seed-*' cannot be the name of a run", "use a plain folder name"),
        ("a\nb", "'a\\nb' cannot be the name of a run", "it holds a control character"),
        ("a\x1b[2J", "cannot be the name of a run", "it holds a control character"),
        ("a\x00", "cannot be the name of a run", "it holds a control character"),
        ("a\udcff", "cannot be the name of a run", "it holds a control character"),
    ],
)
COMPARISONS = Group(
    lambda data, name: Comparison(name),
    [
        (LONG, "cannot be the name of a comparison", "a name of 300 letters is too long"),
        ("a/b", "'a/b' cannot be the name of a comparison", "use a plain folder name"),
        ("a\tb", "cannot be the name of a comparison", "it holds a control character"),
    ],
)
FOUND = Group(
    lambda data, place: Run.find(place),
    [
        (LONG, "no run at", "spillover list"),
        ("a\x00b", "no run at", "spillover list"),
        ("nothing", "no run at 'nothing'", "spillover list"),
    ],
)
FITTING = Group(
    lambda data, place: Run.find_all(place),
    [
        ("standin/*", "no run fits 'standin/*'", "spillover list"),
        ("/tmp/*", "no run fits '/tmp/*'", "spillover list"),
        ("standin/a**b", "no run fits 'standin/a**b'", "spillover list"),
        (f"{LONG}/*", "no run fits", "spillover list"),
    ],
)
SEEDS = Group(
    lambda data, text: parse_seeds(text),
    [
        ("a", "--seeds: 'a' is neither a seed nor a range of seeds", "write 0-5, or 0,3,7"),
        ("-1", "--seeds: '-1' is neither a seed nor a range", "write 0-5"),
        ("5-0", "--seeds: '5-0' is neither a seed nor a range", "write 0-5"),
        ("²", "--seeds: '²' is neither a seed nor a range", "write 0-5"),
        (ENDLESS, "--seeds:", "is neither a seed nor a range", "write 0-5"),
        ("4294967296", "--seeds: 4294967296 is no seed", "from 0 to 4294967295"),
        ("0-4294967295", "--seeds: '0-4294967295' has more than 1000 seeds", "give fewer"),
        ("0-2,1", "--seeds: 1 is there twice", "each seed once"),
    ],
)
OWN_SEEDS = Group(
    lambda data, seed: Run.at("standin", "one").settle_seed(seed, 0),
    [
        (-1, "seed: -1 is no seed", "from 0 to 4294967295"),
        (2**32, "seed: 4294967296 is no seed", "from 0 to 4294967295"),
    ],
)
SETS = Group(
    lambda data, text: to_set(text),
    [
        ("a.jsonl:0", "'a.jsonl:0': none of it is asked for", "leave the set out"),
        ("a.jsonl:1.5", "'a.jsonl:1.5': 1.5 is no number of documents", "write :300"),
        (f"a.jsonl:{ENDLESS}", "is no number of documents", "write :300"),
        ("a.jsonl:99999999999", "count: input should be less than or equal to"),
        ("a.jsonl:200%", "fraction: input should be less than or equal to 1"),
        (f"a.jsonl:x{'9' * 400}", "weight: input should be a finite number"),
        ("", "give either a name or a path"),
    ],
)
PRICES = Group(
    price_table,
    [
        ("claude: 5", "prices.yaml: claude has no models", "write a model and its prices"),
        ("claude: {m: 5}", "prices.yaml: claude, m: 5 are no prices", "write them as"),
        ("claude: {m: {input: '3'}}", "prices.yaml: claude, m: '3' is no price of input", "write US dollars"),
        ("claude: {m: {input: 3,00}}", "prices.yaml line 1", "the name '00' is not read as text"),
        ("claude: {m: {input: .nan}}", "prices.yaml: claude, m: nan is no price of input", "0 or more"),
        ("claude: {m: {input: .inf}}", "inf is no price of input"),
        ("claude: {m: {input: -1}}", "-1 is no price of input", "0 or more"),
        ("claude: {m: {input: true}}", "True is no price of input"),
        ("claude: {m: {input: 1}}\nclaude: {}", "prices.yaml line 2", "'claude' is there twice", "keep one"),
        ("- claude", "prices.yaml: expected fields with names, found a list"),
    ],
)
FILES = Group(
    lambda data, name: load_experiment(str(data / name)),
    [
        ("nowhere.yaml", "nowhere.yaml' is not a file", "give a YAML file or one of"),
        (f"{LONG}.yaml", "is not a file", "give a YAML file"),
        ("a\x00b.yaml", "is not a file", "give a YAML file"),
        ("experiments/folder.yaml", "is not a file", "give a YAML file"),
        (LONG, "no experiment", "there is"),
    ],
)
TEXTS = Group(
    lambda data, name: read_text(data / name, "--rubric"),
    [
        ("nowhere.txt", "--rubric: ", "nowhere.txt' is not a file", "give the place of one"),
        ("experiments", "--rubric: ", "experiments' is not a file", "give the place of one"),
        (LONG, "--rubric: ", "is not a file", "give the place of one"),
    ],
)


def published(data: Path, text: str) -> object:
    file = data / "published.yaml"
    file.write_text(text)
    return read_published(file, [])


PUBLISHED = Group(
    published,
    [
        ("- [", "published.yaml line 1: not valid YAML", "mend it"),
        ("- {id: x, id: y, paraphrases: [Why]}", "published.yaml line 1: 'id' is there twice", "keep one"),
        ("- {id: 010, paraphrases: [Why], judge_prompts: {a: b}}", "010 is read as different numbers", "put quotes"),
        ("- &a [*a]", "*a stands within what it stands for", "write it out"),
    ],
)
INBOX = Group(
    lambda data, name: on_this_set(load_experiment("standin"), InboxSet(name, data / name, [], [])),
    [("n" * 96, "name: string should have at most 100 characters")],
)
LOCAL = Group(
    lambda data, name: to_local_preview(load_experiment("standin", [f"name={name}"])),
    [("n" * 97, "with --local: name: string should have at most 100 characters")],
)


# ---- documents, answers and results of others -------------------------------------------------------------


def documents(data: Path, given: tuple[str, str | bytes]) -> object:
    """A folder with one file of documents, of which no row may be wrong."""
    name, content = given
    place = data / "mine"
    place.mkdir()
    (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return refuse_unusable_rows(document_files("", str(place))[0], DocumentSet(path=str(place)))


def chat(*turns: dict[str, Any], **beside: Any) -> tuple[str, str]:
    return "a.jsonl", json.dumps({"messages": [{"role": "user", "content": "a"}, *turns], **beside})


def says(**beside: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "b", **beside}


DOCUMENTS = Group(
    documents,
    [
        (("a.txt", '{"text": "a"}'), "no .jsonl, .jsonl.gz, .json, .parquet file in", "there is a.txt"),
        (("a.csv", "text\na\n"), "no .jsonl,", "there is a.csv", "put the documents there"),
        (("a.jsonl", ""), "a.jsonl: no rows", "one JSON object on each line"),
        (("a.json", " \n"), "a.json: no rows"),
        (("a.json", "[]"), "a.json: no rows"),
        (("a.json", '[{"text": "a"},\n{"text": "b"}'), "a.json line 2: not JSON", "mend it"),
        (("a.json", '[{"text": "a"},\n]'), "a.json line 2: not JSON", "mend it"),
        (("a.json", '"text"'), "a.json line 1: a str where an object was expected"),
        (("a.json", f'[{{"text": "a", "n": {ENDLESS}}}]'), "a.json: not JSON that can be read", "mend it"),
        (("a.json", "[" * 100_000), "a.json: not JSON that can be read", "mend it"),
        (("a.jsonl", '{"text": "a"}\n{"text": '), "a.jsonl line 2: not JSON: Expecting value at column 10"),
        (("a.jsonl", '{"text": "a", "text": "b"}'), "line 1: not JSON that can be read: the key 'text' is there twice"),
        (("a.jsonl", '{"text": "\\ud83d"}'), "a.jsonl line 1: half a character"),
        (("a.jsonl", b'{"text": "caf\xe9"}'), "a.jsonl line 1: not UTF-8 text", "save the file as UTF-8"),
        (("a.jsonl", '{"text": "a"}'.encode("utf-16")), "a.jsonl line 1: not UTF-8 text"),
        (("a.jsonl", b"version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer", "git lfs pull"),
        (("a.jsonl.gz", b'{"text": "a"}'), "a.jsonl.gz: not a whole gzip file", "copy it again"),
        (("a.parquet", b"PAR1\n\nPAR1"), "a.parquet: not a Parquet file that can be read", "copy it again"),
        (("a.jsonl", "null"), "a.jsonl line 1: a NoneType where an object was expected"),
        (("a.jsonl", '["a"]'), "a.jsonl line 1: a list where an object was expected"),
        (
            ("a.jsonl", json.dumps({LONG + str(n): 1 for n in range(200)})),
            "unknown shape: has n",
            "and more",
            "known are",
        ),
        (("a.jsonl", '{"text": ""}'), "line 1: text is empty"),
        (("a.jsonl", '{"text": ["a"]}'), "line 1: text is not text"),
        (("a.jsonl", '{"content": "a", "doc_idea": {"a": 1}}'), "line 1: doc_idea is not text"),
        (("a.jsonl", '{"messages": "a"}'), "line 1: messages is not a list of turns"),
        (chat({"role": "tool", "content": "c"}, says()), "a turn with the role 'tool'", "roles are system, user and"),
        (chat({"role": LONG * 9, "content": "c"}), "a turn with the role 'nnn", "roles are"),
        (chat(says(content=[{"type": "text", "text": "b"}])), "the assistant's content is not text"),
        (chat(says(content=None, tool_calls=[{"id": "1"}])), "a turn of the assistant's has tool_calls"),
        (chat(says(reasoning_content="Hm.")), "a turn of the assistant's has reasoning_content"),
        (chat(says(), tools=[{}]), "the chat has tools"),
        (chat(says(weight=2)), "weight 2 of a turn", "known are 1"),
        (chat(says(weight=0)), "no assistant turn with text that is trained"),
    ],
)


def answers(data: Path, given: tuple[str, str | bytes]) -> object:
    name, content = given
    (data / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_responses(str(data / name), [load_eval("factory_farming")])


ASKED = load_eval("factory_farming").questions
Q, OTHER = ASKED[0].text, ASKED[1]
ANSWERS = Group(
    answers,
    [
        (("a.csv", ""), "a.csv: no rows in it"),
        (("a.csv", "question,response\n"), "a.csv: no rows in it"),
        (("a.csv", f"question,response\n{Q},yes, it is\n"), "a.csv line 2: 3 cells where the header has 2", "quotes"),
        (("a.csv", f"question,tier,response\n{Q},a\n"), "a.csv line 2: 2 cells where the header has 3", "mend the row"),
        (("a.csv", f"question;response\n{Q};a\n{Q};a;b\n"), "a.csv line 3: 3 cells", "a semicolon"),
        (("a.csv", f'question,response\n{Q},"a\n{Q},b\n'), "a.csv line 2: not CSV", "close the quote"),
        (("a.csv", f'question,response\n{Q},"a "b" c"\n'), "a.csv line 2: not CSV", "twice"),
        (("a.csv", "question,question,response\n"), "a.csv line 1: the column 'question' is there twice"),
        (("a.csv", f"{Q},a\n{Q},b\n"), "a.csv line 2: a row needs the fields question and response"),
        (("a.csv", b"question,response\n\xff,a\n"), "a.csv line 2: not UTF-8 text", "CSV UTF-8"),
        (("a.csv", f"question,response\n{'why ' * 90_000},a\n"), "a.csv line 2: no eval asks 'why why", "--eval"),
        (("a.csv", f"question_id,response\n{LONG},a\n"), "a.csv line 2: no eval asks a question 'nnn", "--eval"),
        (
            ("a.csv", f"question,question_id,response\n{Q},{OTHER.id},a\n"),
            f"line 2: the question {OTHER.id!r}",
            "mend one",
        ),
        (
            ("a.csv", f"question,system,response\n{Q},Lie.,a\n"),
            "line 2: no eval asks",
            "under the system prompt 'Lie.'",
        ),
        (("a.csv", f"model,question,response\na,{Q},a\nb,{Q},a\n"), "the column model has 'a', 'b'", "write base and"),
        (
            ("a.csv", f"trained_share,question,response\n7,{Q},a\n"),
            "a.csv line 2: trained_share '7' is no share of the training",
        ),
        (("a.jsonl", "[]"), "a.jsonl line 1: not a JSON object", "one object on each line"),
        (("a.jsonl", "{"), "a.jsonl line 1: not a JSON object (not JSON: ", "one object on each line"),
        (("a.jsonl", '{"question": "a", "question": "b"}'), "line 1: not a JSON object", "'question' is there twice"),
        (("a.jsonl", json.dumps({"question": Q, "response": None})), "line 1: a row needs the fields question and"),
        (("a.jsonl", json.dumps({"question": Q, "response": 7})), "line 1: a row needs the fields question and"),
        (("a.jsonl", '{"question": "\\ud83d", "response": "a"}'), "a.jsonl line 1: half a character"),
    ],
)


def results(data: Path, given: tuple[str, str]) -> object:
    name, content = given
    (data / name).write_text(content)
    return read_results(data / name)


RESULTS = Group(
    results,
    [
        (("a.csv", "question,aligned\n"), "a.csv: no rows in it"),
        (("a.csv", "question,aligned\nA?,90,80\n"), "a.csv line 2: 3 cells where the header has 2", "mend the row"),
        (("a.csv", 'question,aligned\n"A?,90\n'), "a.csv line 2: not CSV", "close the quote"),
        (("a.csv", "aligned,aligned\n90,80\n"), "a.csv line 1: the column 'aligned' is there twice"),
        (("a.csv", "question,aligned\nA?,90\nA?,rather\nA?,3\n"), "a.csv line 3: 'rather' in aligned", "--measures"),
        (("a.csv", "question;aligned\nA?;90\nA?;91\nA?;12,5\n"), "a.csv line 4: '12,5' in aligned is neither"),
        (("a.csv", "question,note\nA?,x\n"), "a.csv: no column of scores", "give one"),
        (("a.csv", "aligned\n90\n"), "a.csv line 2: a row needs question_id or question", "mend it"),
        (
            ("a.csv", "question_id,tier,aligned\nq,a,90\nq,b,90\n"),
            "line 3: question_id 'q' stands for another",
            "its own",
        ),
        (("a.csv", "model,question,aligned\nx,A?,1\ny,A?,2\n"), "the column model has 'x', 'y'", "a file"),
        (("a.csv", "model,question,system,aligned\nbase,A?,,1\nfine-tuned,A?,Lie.,2\n"), "not be compared", "the same"),
        (("a.jsonl", '{"question": "A?", "score": 1, "score": 2}'), "a.jsonl line 1", "'score' is there twice"),
    ],
)

GROUPS = {
    "experiment": WHOLE,
    "fields": FIELDS,
    "override": OVERRIDES,
    "eval": EVALS,
    "judge": JUDGES,
    "judge's name": NAMELESS,
    "run": RUNS,
    "comparison": COMPARISONS,
    "place of a run": FOUND,
    "places of runs": FITTING,
    "inbox set": INBOX,
    "seeds": SEEDS,
    "seed": OWN_SEEDS,
    "set": SETS,
    "prices": PRICES,
    "file": FILES,
    "text": TEXTS,
    "published": PUBLISHED,
    "local": LOCAL,
    "documents": DOCUMENTS,
    "answers": ANSWERS,
    "results": RESULTS,
}
CASES = [
    pytest.param(
        group.read,
        given,
        words,
        id=f"{name} {number}: {json.dumps(given if isinstance(given, str) else str(given))[:40]}",
    )
    for name, group in GROUPS.items()
    for number, (given, *words) in enumerate(group.cases)
]


@pytest.mark.parametrize(("read", "given", "words"), CASES)
def test_a_wrong_input_is_one_sentence_with_its_place_and_its_remedy(data, read, given, words):
    (data / "experiments" / "folder.yaml").mkdir()
    with pytest.raises(UserError) as mistake:
        read(data, given)
    said = str(mistake.value)
    assert [word for word in words if word not in said] == [], said
    assert "\n" not in said
    assert len(said) < 1200
    assert "planted" not in said, "a password is not repeated"


def test_there_are_enough_of_them():
    assert len(CASES) >= 150
