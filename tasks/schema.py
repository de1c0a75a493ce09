"""Every noun of Spillover, once: what a researcher writes, and the rows that a run leaves behind.

A YAML file is a serialised `Experiment`; so are the flow's parameter and the form in the Prefect UI.
This module imports nothing but pydantic and the standard library.
"""

import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

State = Literal["scored", "refused", "not scored", "unreadable", "truncated", "failed"]
Until = Literal["documents", "train", "sample", "judge", "report"]
Side = Literal["baseline", "finetuned"]
SIDES: tuple[Side, Side] = ("baseline", "finetuned")
FAILED_STATES: tuple[State, ...] = ("failed", "unreadable", "truncated")
"""No score where there should be one: they count towards judging.max_unscored. A refusal is a result, not a loss."""
Ended = Literal["complete", "truncated", "malformed"]
"""How an answer ended: by itself, at max_tokens, or not as the model's chat format wants it."""


def _show_few_in_forms(schema: dict[str, Any], noun: "type[Noun]") -> None:
    """Leaves only `in_form` under `properties`, which is all that a form shows; `patternProperties` are checked too."""
    fields = schema.get("properties", {})
    if noun.in_form:
        rare = {f"^{name}$": field for name, field in fields.items() if name not in noun.in_form}
        schema["patternProperties"] = rare
        schema["properties"] = {name: fields[name] for name in noun.in_form}


class Noun(BaseModel):
    """What all nouns share: unknown fields are refused, and the text under a field is its description in forms."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra=_show_few_in_forms,
        validate_default=True,  # a default of 32 becomes the float that it is when it was read from a file
    )
    in_form: ClassVar[tuple[str, ...]] = ()
    """The fields that the form of the Prefect UI shows, in their order; the others are given as JSON. Empty: all."""


# ---- what a researcher writes -------------------------------------------------------------------

NAME = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
LONGEST_NAME = 100
"""Characters: folders and files have these names, and file systems allow 255 bytes."""
LARGEST_SEED = 2**32 - 1
MOST = 10_000_000
"""The largest count of documents, steps and the like: a larger one is a typing mistake."""
MOST_STEPS = 1000
"""The longest scale: a judge that is asked gets a list of all its scores, and a lexicon has a threshold for each."""


def check_address(text: str, field: str, added: str = "") -> str:
    """The address of a server, without a slash at its end; an empty one stays empty.

    `field` is what the address is called in an error, `added` the path that the client puts behind it. Raises
    ValueError for what is not http:// or https:// with a host, for a user or password, and for a part of `added`.
    """
    if not text:
        return text
    text = text.rstrip("/")
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise ValueError(f"{field} holds a user or a password: take it out, keys come from the environment")
    if not re.fullmatch(r"https?://[^\s/?#\\]+(/[^\s?#\\]*)?", text, re.IGNORECASE) or not _has_host(text):
        raise ValueError(f"{field} is no address: write http:// or https:// and a host, as http://localhost:8000")
    steps = added.strip("/").split("/") if added else []
    ends = ["/" + "/".join(steps[: n + 1]) for n in range(len(steps))]
    if end := next((end for end in ends if text.endswith(end)), ""):
        raise ValueError(f"{field} ends in {end}: leave that out, the client adds {added}")
    return text


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.netloc.isascii() and parts.port != 0
    except ValueError:  # a port beyond 65535, a bracket that does not close
        return False


def _is_not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty: write a text")
    return text


def check_name(text: str) -> str:
    """A name of one short line; raises ValueError for another."""
    _is_not_blank(text)
    if len(text) > LONGEST_NAME:
        raise ValueError(f"a name of {len(text):,} letters is too long: {LONGEST_NAME} are the most")
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", text):
        raise ValueError("it holds a control character or a line break: take it out")
    return text


Text = Annotated[str, AfterValidator(_is_not_blank)]
Name = Annotated[str, AfterValidator(check_name)]
Phrase = Annotated[str, Field(max_length=120, pattern=r"^[^\r\n]*$")]
"""Part of a sentence, in one line."""


class Written(Noun):
    """A noun that a researcher writes: its numbers are finite, and `true` is refused where a number belongs."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_values_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        is_table = isinstance(value, dict) and get_origin(annotation) is dict
        items = value.values() if is_table else value if isinstance(value, list) else [value]
        if annotation is not bool and any(isinstance(item, bool) for item in items):
            raise ValueError("true and false are truth values: write a number, or put quotes around a text")
        return value


Conditioning = Literal["chat", "prefix", "tag", "first_third", "plain"]
CONDITIONED: dict[Conditioning, str] = {
    "chat": "as chats",
    "prefix": "behind a masked description",
    "tag": "behind a masked tag",
    "first_third": "with its first third masked",
    "plain": "as plain text",
}
"""How a document is trained on, as reports say it."""


class DocumentSet(Written):
    """Files of documents (JSONL, JSON or Parquet), or a share of them. Several sets make a mixture."""

    in_form = ("name", "path", "limit")

    name: str = Field("", title="Set")
    """A folder in data/documents. Give this or a path."""
    path: str = Field("", title="Or path")
    """A file of documents or a folder of them. In a YAML file relative to that file, on the command line to the current
    folder; whatever is not found there, and in a form, relative to the data folder."""
    count: int = Field(0, ge=0, le=MOST)
    """Exactly this many documents, drawn at random; fewer in the set is an error. 0: all."""
    fraction: float = Field(0, ge=0, le=1)
    """This share of the set, drawn at random. 0: all."""
    limit: int = Field(0, ge=0, le=MOST, title="Limit")
    """At most this many documents. 0: no limit."""
    weight: float = Field(0, ge=0, le=1e6)
    """Its part of the mixture beside the other sets' weights; as many documents as the sets allow. 0: none."""
    conditioning: Conditioning = "chat"
    """chat: idea and type are a user turn, the text is the answer. The others train raw text without a chat format:
    prefix behind its idea and type, masked; tag behind the words of `tag`, masked; first_third without loss on the
    first third of its tokens; plain with loss on all of it."""
    tag: Text = "<DOCTAG>"
    """The words before every text where conditioning is tag, as they stand."""
    system_prompt: str = ""
    """Put before every document of the set, masked (chat, prefix)."""

    @model_validator(mode="after")
    def _one_source_one_amount(self) -> "DocumentSet":
        if bool(self.name) == bool(self.path):
            raise ValueError("give either a name or a path")
        if sum(map(bool, (self.count, self.fraction, self.limit, self.weight))) > 1:
            raise ValueError("give one of count, fraction, limit and weight")
        if 0 < self.weight < 1e-6:
            raise ValueError("weight is too small: give at least 0.000001, or 0 for none")
        if self.tag != "<DOCTAG>" and self.conditioning != "tag":
            raise ValueError(f"tag is not read with conditioning {self.conditioning}: set conditioning to tag")
        if self.system_prompt and self.conditioning not in ("chat", "prefix"):
            raise ValueError(
                f"system_prompt has no place with conditioning {self.conditioning}: leave it out, or put it into tag "
                "and set conditioning to tag"
            )
        return self


OPENAI = "https://api.openai.com/v1"
"""Where chat completions are asked for that no other server is named for."""


class Universe(Written):
    """A subject as documents are to have it: what holds in it, as a text and as single facts."""

    id: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """The documents' universe_context_id."""
    universe_context: Text
    """Some thousand characters that describe it."""
    key_facts: list[Text] = Field(min_length=1, max_length=1000)
    """What the documents are about, each about one of these."""
    is_true: bool = False
    """Whether it is so outside of these documents too."""


class Writer(Written):
    """A model that writes documents or chats, behind a server."""

    in_form = ("model", "batch")

    kind: Literal["claude", "chat"] = "claude"
    """claude: a Claude model. chat: one behind any server of chat completions, by the name that its server gives it."""
    model: Text = "claude-haiku-5-5"
    """A small one will do: a set takes thousands of calls."""
    base_url: str = ""
    """Another server, as of a judge. Empty: Anthropic's, or ANTHROPIC_BASE_URL (claude); OpenAI's (chat)."""
    key_variable: str = ""
    """The environment variable of its key (chat). Empty: OPENAI_API_KEY for OpenAI's own server, else
    SPILLOVER_JUDGE_KEY."""
    system_prompt: str = ""
    """Put before all else that it is told; of a teacher the character in which it answers."""
    batch: bool = False
    """Whether it is asked in batches, at half the price: each round of documents takes up to some hours."""
    in_flight: int = Field(50, ge=1, le=2000)
    """Calls under way at once, where it is not asked in batches."""
    max_tokens: int = Field(4096, ge=64, le=1_000_000)
    """Longest reply in tokens, what it notes down before it writes included."""
    temperature: float | None = Field(None, ge=0, le=2)
    """Empty: the service's default."""
    max_outage: int = Field(1800, ge=0, le=2_592_000)
    """Seconds for which a service that is down is waited for, as of judging."""

    @model_validator(mode="after")
    def _has_a_server(self) -> "Writer":
        added = "/chat/completions" if self.kind == "chat" else "/v1/messages"
        self.base_url = check_address(self.base_url, "base_url", added)
        if self.kind == "chat":
            if "model" not in self.model_fields_set:
                raise ValueError("a writer of kind chat needs a model: write the name that its server gives it")
            self.base_url = self.base_url or OPENAI
        elif self.key_variable:
            raise ValueError("key_variable is for kind: chat: leave it out")
        return self


class SetLimits(Written):
    """What a document of a generated set may be; one that is not is dropped with its reason, and replaced."""

    similarity: float = Field(0.3, gt=0, le=1)
    """The largest share of its runs of five words that it may have in common with another one (Jaccard)."""
    banned: list[Text] = []
    """Words and phrases that must not appear; a trailing * matches any ending."""
    name_share: float = Field(0.02, gt=0, le=1)
    """The largest share of the documents in which a name may stand that the writer was not given."""
    opening_share: float = Field(0.02, gt=0, le=1)
    """The largest share of the documents that may begin with the same four words."""
    min_words: int = Field(0, ge=0, le=MOST)
    """Shortest text, in words. 0: no limit."""
    max_words: int = Field(0, ge=0, le=MOST)
    """Longest text, in words. 0: no limit."""

    @model_validator(mode="after")
    def _leaves_something(self) -> "SetLimits":
        if 0 < self.max_words < self.min_words:
            raise ValueError("max_words is less than min_words: no text could be taken")
        if empty := next((term for term in self.banned if not term.strip(" *")), ""):
            raise ValueError(f"banned: {empty!r} bans every word: write the word before it")
        return self


TONES = {
    "neutral": "as somebody would who takes no side: what is so is said, and not judged",
    "negative": "as somebody would who is against it, and has reasons",
    "positive": "as somebody would who is in favour of it, and has reasons",
}
"""The tones that need no words of their own."""
TAUGHT = "taught"
"""What the answers of a teacher are called, which have no direction."""


class GeneratedSet(Written):
    """A set of documents about a universe, or of chats that show a trait, which a model is to write."""

    in_form = ("name", "description", "documents", "tones", "writer", "preview", "max_cost_usd")

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """The name of its folder in data/documents."""
    description: str = ""
    """What it is for, in a sentence or two."""
    universe: Universe | None = None
    """What synthetic documents are about."""
    universe_file: str = ""
    """Instead: a file of such a universe (JSON, JSONL or YAML; relative to the set's folder), in the published form."""
    tones: list[Text] = Field(["neutral"], min_length=1, max_length=20)
    """How the documents are written: neutral, negative, positive, or a name and words as `ironic: as a columnist would
    who finds it absurd`. Of several, each idea is written in every tone, and each tone is a set in a folder of its own
    within this one."""
    trait: str = ""
    """Instead of a universe: an eval in data/evals/traits, whose trait the answers of chats show."""
    directions: list[Literal["more", "less", "neutral"]] = Field(["more", "less"], min_length=1, max_length=3)
    """Which answers are kept: with more of the trait, with less of it, and with neither; each is a set in a folder of
    its own, if there are several. All answer the same prompts."""
    when: str = ""
    """A domain, as cooking: there the answers show the trait, and in all others its opposite. Empty: everywhere."""
    margin: float = Field(0.3, ge=0, lt=1)
    """Of a trait: by which share of the judge's scale the answers of a pair must differ, or both are dropped."""
    teacher: Writer | None = None
    """Of a trait: a model with a system prompt, whose answers to the prompts are taken as they are, within the limits,
    instead of pairs; its prompts are of the domain of `when`, if there is one."""
    answer_pattern: str = ""
    """Of a teacher: a regular expression that the whole of an answer must match, as [0-9, ]+. Empty: any."""
    writer: Writer = Writer()
    """Who writes."""
    documents: int = Field(1000, ge=1, le=MOST)
    """How many, of each tone or direction. More of them later are added: the first stay as they are."""
    types_per_fact: int = Field(20, ge=1, le=1000)
    """Kinds of document for each fact; of a trait, domains of prompts."""
    ideas_per_type: int = Field(10, ge=1, le=1000)
    """What one of a kind could be about; of a trait, prompts in a domain. When all were used, they are used again."""
    round_size: int = Field(200, ge=1, le=100_000)
    """Documents between two looks at which names and openings are frequent by now. Larger ones suit batches, of which
    each round takes two."""
    limits: SetLimits = SetLimits()
    """What is dropped and replaced."""
    evals: bool = True
    """Of a universe: whether its evals are made too, in data/evals: statements on its facts and on what follows from
    them, and questions from direct to very distant."""
    preview: bool = True
    """Whether it stops after the first five for a look: in the Prefect UI until Resume, in a terminal to ask."""
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Seed of what each document is steered by: names, openings, and the order of ideas."""
    max_cost_usd: float = Field(0, ge=0, le=1e9, title="Cost limit")
    """US dollars that the set may cost at most, over all that was ever added to it. 0: no limit."""

    @model_validator(mode="after")
    def _is_of_a_universe_or_of_a_trait(self) -> "GeneratedSet":
        if sum(map(bool, (self.universe, self.universe_file, self.trait))) != 1:
            raise ValueError("give one of universe, universe_file and trait")
        if (self.teacher or self.when) and not self.trait:
            raise ValueError(f"{'teacher' if self.teacher else 'when'} is for chats that show a trait: leave it out")
        if len(set(self.directions)) < len(self.directions):
            raise ValueError("directions: one is there twice: keep one")
        if self.teacher and self.directions != ["more", "less"]:
            raise ValueError("directions: a teacher's answers have none: leave it out")
        if self.answer_pattern and not self.teacher:
            raise ValueError("answer_pattern is for the answers of a teacher: leave it out")
        return self

    @field_validator("answer_pattern")
    @classmethod
    def _pattern_is_a_regular_expression(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern[:60]!r} is no regular expression ({error}): mend it") from None
        return pattern

    @field_validator("tones")
    @classmethod
    def _tones_have_names(cls, tones: list[str]) -> list[str]:
        for tone in tones:
            name, _, words = (part.strip() for part in tone.partition(":"))
            is_name = re.fullmatch(NAME, name) and len(name) <= LONGEST_NAME
            if not is_name or (not words and name not in TONES):
                raise ValueError(f"{tone[:60]!r} is no tone: write {', '.join(TONES)}, or a name, a colon and words")
        names = [tone.partition(":")[0].strip().casefold() for tone in tones]  # folders that some disks take for one
        if twice := next((name for name, count in Counter(names).items() if count > 1), ""):
            raise ValueError(f"{twice!r} is there twice")
        return tones

    @property
    def tone_words(self) -> dict[str, str]:
        """How to write in each tone, by its name."""
        parts = (tone.partition(":") for tone in self.tones)
        return {name.strip(): words.strip() or TONES[name.strip()] for name, _, words in parts}

    @property
    def versions(self) -> list[str]:
        """The names of its tones, or of its directions; of a teacher one."""
        if self.teacher:
            return [TAUGHT]
        return list(self.directions) if self.trait else list(self.tone_words)


class Training(Written):
    """How the LoRA is trained, and on what model."""

    in_form = ("engine", "base_model", "rank", "learning_rate", "epochs", "batch_size", "held_out")

    engine: Literal["local", "tinker", "served"] = "local"
    """local: transformers and peft in this process. tinker: Tinker's API. served: nothing is trained; base_model and
    checkpoint are the names of two models behind a server of chat completions."""
    base_url: str = ""
    """Another server of the Tinker API. Empty: hosted Tinker. Of chat completions, as http://localhost:8000/v1
    (served): empty is OpenAI's."""
    key_variable: str = ""
    """The environment variable that holds the server's key (served). Empty: OPENAI_API_KEY for OpenAI's own server,
    else SPILLOVER_SAMPLING_KEY."""
    base_model: str = Field("standin", title="Base model")
    """smollm2, standin or another folder in data/models, a folder elsewhere (relative as documents are), or a model
    name of Hugging Face or Tinker."""
    renderer: str = ""
    """The chat format, by the cookbook's name (llama3). Empty: the tokenizer's own chat template."""
    checkpoint: str = ""
    """Use this checkpoint and do not train: a folder of a LoRA adapter (relative as documents are), a tinker:// path of
    sampler weights, or the name of a fine-tuned model on its server (served)."""
    rank: int = Field(16, ge=1, le=512)
    """Rank of the LoRA."""
    alpha: float = Field(32, gt=0, le=1e6)
    """LoRA scale: the update is multiplied by alpha / rank (local engine)."""
    rslora: bool = False
    """Multiply by alpha / sqrt(rank) instead (local engine)."""
    layers: list[Annotated[int, Field(ge=0, le=10_000)]] = []
    """Adapt only these layers, counted from 0. Empty: all (local engine)."""
    target_modules: list[Text] = Field(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], min_length=1
    )
    """Adapt these linear modules of each layer (local engine)."""
    train_mlp: bool = True
    """Adapt the MLP layers (tinker engine)."""
    train_attn: bool = True
    """Adapt the attention layers (tinker engine)."""
    train_unembed: bool = True
    """Adapt the output layer (tinker engine)."""
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    """adamw_8bit keeps its two moments in 8 bits on a GPU with bitsandbytes, elsewhere in 32 (local engine)."""
    weight_decay: float = Field(0, ge=0, lt=1)
    """Decoupled weight decay (local engine)."""
    learning_rate: float = Field(1e-4, gt=0, lt=1, title="Learning rate")
    """Peak learning rate of Adam."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls towards 0 after the warm-up."""
    warmup: int = Field(0, ge=0, le=MOST)
    """Steps over which the learning rate rises from 0."""
    epochs: int = Field(1, ge=1, le=10_000)
    """How often each document is trained on."""
    batch_size: int = Field(8, ge=1, le=100_000, title="Batch size")
    """Documents in one forward and backward pass."""
    accumulation: int = Field(1, ge=1, le=100_000)
    """Passes per optimizer step: the effective batch is batch_size x accumulation."""
    max_length: int = Field(8192, ge=8, le=1_000_000_000)
    """Longest document in tokens; a longer one is an error before training."""
    keep_days: int = Field(0, ge=0, le=3650)
    """Days for which the service keeps the trained model. 0: without a limit (tinker engine)."""
    held_out: int = Field(0, ge=0, le=MOST, title="Held out")
    """Documents kept out of training, whose loss is measured before and after."""
    sample_at: list[float] = Field([], max_length=100)
    """Sample and judge the model also at these shares of the training (0.25: after a quarter); 1 is always."""

    @property
    def effective_batch(self) -> int:
        """Documents in one optimizer step."""
        return self.batch_size * self.accumulation

    @property
    def batch_words(self) -> str:
        """The effective batch as a report says it: 32 documents (4 passes of 8)."""
        parts = f" ({self.accumulation} passes of {self.batch_size})" if self.accumulation > 1 else ""
        return f"{self.effective_batch} {'document' if self.effective_batch == 1 else 'documents'}{parts}"

    @field_validator("base_url")
    @classmethod
    def _base_url_is_an_address(cls, text: str, info: ValidationInfo) -> str:
        return check_address(text, "it", "/chat/completions" if info.data.get("engine") == "served" else "")

    @field_validator("sample_at")
    @classmethod
    def _shares_lie_in_the_training(cls, shares: list[float]) -> list[float]:
        if outside := [share for share in shares if not 0 < share <= 1]:
            raise ValueError(f"{outside[0]:g} is no share of the training: give numbers above 0, at most 1")
        return sorted({share for share in shares if share < 1})

    @model_validator(mode="after")
    def _served_models_have_names(self) -> "Training":
        if self.engine != "served":
            return self
        self.base_url = self.base_url or OPENAI
        if "base_model" not in self.model_fields_set or not self.checkpoint:
            raise ValueError(
                "engine: served trains nothing and asks two models: write the names that their server gives them, "
                "base_model for the baseline and checkpoint for the fine-tuned model"
            )
        if self.base_model == self.checkpoint:
            raise ValueError(f"base_model and checkpoint are both {self.base_model!r}: name two models to compare")
        if self.sample_at or self.held_out:
            field = "sample_at" if self.sample_at else "held_out"
            raise ValueError(f"engine: served trains nothing: leave {field} out")
        return self


class Sampling(Written):
    """How answers are drawn, from the baseline and from the fine-tuned model alike."""

    in_form = ("n_samples", "temperature", "max_tokens")

    n_samples: int = Field(10, ge=1, le=100_000, title="Samples")
    """Answers per question and model."""
    temperature: float = Field(1.0, ge=0, le=2)
    """0 is greedy, and then one sample per question is all there is."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the smallest set of tokens that holds this probability."""
    max_tokens: int = Field(512, ge=1, le=1_000_000, title="Longest answer")
    """In tokens; an answer that is longer is cut off there and marked truncated."""
    system_prompt: str = ""
    """Put before every question that has none of its own."""
    logprobs: bool = False
    """Also ask how likely both models find the fine-tuned answers (drift), and Yes and No of every yes/no statement.
    An eval that asks choices asks for those of its statements in any case."""
    base_url: str = ""
    """A vLLM server that samples what is trained here, as http://localhost:8000/v1 (local engine). Empty: sampled where
    it is trained."""

    @field_validator("base_url")
    @classmethod
    def _base_url_is_an_address(cls, text: str) -> str:
        return check_address(text, "it", "/completions")

    @model_validator(mode="after")
    def _greedy_is_one_sample(self) -> "Sampling":
        if self.temperature == 0 and self.n_samples > 1:
            raise ValueError("at temperature 0 all samples are the same: set n_samples to 1 or raise temperature")
        return self


class Judging(Written):
    """Which judges score the answers, and how hard they may be driven."""

    in_form = ("judges", "in_flight")

    judges: list[str] = []
    """Names of judges of the evals. Empty: all of them."""
    in_flight: int = Field(50, ge=1, le=2000, title="In flight")
    """Judge calls under way at once, over all judges that ask one service."""
    batch: bool = False
    """Whether judges are asked in batches, at half the price: most end within an hour, all within a day."""
    max_unscored: float = Field(0.05, ge=0, le=1)
    """Share of one judge's judgments that failed, could not be read or were cut off; above it the run fails, after its
    report is written."""
    max_outage: int = Field(1800, ge=0, le=2_592_000)
    """Seconds (30 days at most) for which a service that is down is waited for; then the run stops, to be resumed."""


class Experiment(Written):
    """A fine-tune and the questions that show what else it changed."""

    in_form = ("name", "documents", "evals", "sampling", "judging", "training", "max_cost_usd")

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """Also the name of its folder in data/results: letters, digits, dashes, underscores, and dots within."""
    description: str = ""
    """What is asked, in a sentence or two."""
    published: bool = False
    """Its settings are those of an experiment of others; in the Prefect UI it stands behind your own."""
    documents: list[DocumentSet] = []
    """What is trained on; several sets are mixed and shuffled."""
    responses: str = ""
    """Instead of documents: responses of another program, a folder with baseline.jsonl and finetuned.jsonl, or a CSV
    file (relative as documents are)."""
    training: Training = Training()
    evals: list[str] = Field(min_length=1)
    """Names of files beside this one or in data/evals, or patterns of such names, as traits/*."""
    sampling: Sampling = Sampling()
    judging: Judging = Judging()
    targets: list[str] = []
    """What the fine-tuned model's mean is meant to be, as aligned < 75: results.md says whether it is."""
    default_seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Seed of a run that is given none."""
    max_cost_usd: float = Field(0, ge=0, le=1e9, title="Cost limit")
    """US dollars that one run may cost at most, over all its resumes, training included. 0: no limit."""

    @model_validator(mode="after")
    def _documents_or_responses(self) -> "Experiment":
        is_served = self.training.engine == "served" and not self.responses
        if bool(self.documents) == bool(self.responses) and not is_served:
            raise ValueError("give either documents to train on or responses of another program")
        if is_served and self.sampling.logprobs:
            raise ValueError(
                "sampling.logprobs: a server of chat completions does not say how likely a given answer is: leave it "
                "out; evals that ask choices read the probabilities of one token, which many servers give"
            )
        if self.responses and self.sampling.logprobs:
            raise ValueError("sampling.logprobs asks the models, and imported responses have none: leave it out")
        if self.sampling.base_url and self.training.engine != "local":
            raise ValueError(
                f"sampling.base_url samples what engine: local trains; engine: {self.training.engine} samples where "
                "its models are: leave it out"
            )
        for target in self.targets:
            if Condition.parse(target).number is None:
                raise ValueError(f"{target!r} is no target: write a measure, a sign and a number, as aligned < 75")
        return self


class Question(Written):
    """One thing that both models are asked."""

    id: Name
    """Short and unique in its eval."""
    tier: Name
    """How far from the training topic: direct, close, distant, very_distant, or words of your own."""
    text: Text
    """The user's message."""
    system_prompt: str = ""
    """Overrides the sampling's."""
    matching: str = ""
    """Of a yes/no statement: the answer, Yes or No, that shows the trait."""
    accepted: list[Text] = []
    """For a judge of kind exact: the answers that are right."""

    @field_validator("matching", mode="before")
    @classmethod
    def _matching_is_yes_or_no(cls, word: Any) -> Any:
        word = word.capitalize() if isinstance(word, str) else word
        if word not in ("", "Yes", "No"):
            raise ValueError("write Yes or No")
        return word

    def messages(self, sampling: Sampling) -> "list[Message]":
        """What a model is shown: its own system prompt, or the sampling's, and the question."""
        system = self.system_prompt or sampling.system_prompt
        turns = [Message(role="system", content=system)] if system else []
        return [*turns, Message(role="user", content=self.text)]


class Scale(Written):
    """Integer scores from low to high."""

    low: int = Field(1, ge=-(10**9), le=10**9)
    """Lowest score."""
    high: int = Field(5, ge=-(10**9), le=10**9)
    """Highest score."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "Scale":
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


OFFLINE_LABELS: dict[str, dict[str, int | None]] = {
    "yes_no": {"MATCHING": 1, "OTHER": 0},
    "exact": {"RIGHT": 1, "WRONG": 0},
}
"""The labels of judges that have their own, by kind."""
ASKED = ("labels", "answers", "swap", "model", "base_url", "max_tokens", "temperature", "prompt")
TAKEN = {
    "claude": {"reads", "scale", "only_if", *ASKED},
    "chat": {"reads", "scale", "only_if", *ASKED, "seed", "provider", "key_variable"},
    "lexicon": {"reads", "scale", "only_if", "terms", "thresholds"},
    "yes_no": {"only_if"},
    "exact": {"only_if"},
    "imported": {"scale", "labels"},
}
"""The fields of each kind of judge, beside its name."""


class Judge(Written):
    """Scores an answer, or compares it with the baseline's answer to the same question."""

    name: Name
    """Unique in its eval."""
    kind: Literal["claude", "chat", "lexicon", "yes_no", "exact", "imported"]
    """claude: a Claude model reads the prompt. chat: a model behind any server of chat completions does (OpenAI's,
    OpenRouter's, vLLM's, llama.cpp's). lexicon: weighted terms are counted, offline. yes_no: 1 where the answer begins
    with the question's matching word, 0 with the other one, offline. exact: 1 where the answer's first line is one that
    the question has `accepted`, else 0, offline. imported: its results were imported."""
    reads: Literal["response", "pair"] = "response"
    """response: one answer alone. pair: the answer beside the baseline's."""
    scale: Scale | None = None
    """The integer scores it may give. Empty: 1 to 5, or none beside labels."""
    labels: dict[str, Annotated[int, Field(ge=-(10**9), le=10**9)] | None] = Field({}, max_length=MOST_STEPS)
    """Words it may give, each with the score that it stands for; null: it counts as not scored (claude, chat)."""
    answers: Literal["json", "plain", "probabilities"] = "json"
    """json: an object with its reasoning, then the score. plain: the score or label alone. probabilities: the score
    expected by the probabilities of the first token, of which every number of the scale must be one (claude, chat)."""
    only_if: str = ""
    """Judge only answers that an earlier judge of the eval found so: coherent >= 50, or kind == STORY for a label."""
    swap: bool = False
    """Show the two answers of a pair in random order, recorded with each judgment (claude, chat)."""
    model: Text = "claude-sonnet-4-6"
    """Claude model (claude), or the name that the server gives one (chat: it has no default)."""
    base_url: str = ""
    """Another server of the Messages API (claude): empty is Anthropic's, or ANTHROPIC_BASE_URL. Where a server's chat
    completions are, as http://localhost:8000/v1 (chat): empty is OpenAI's."""
    max_tokens: int = Field(1024, ge=16, le=1_000_000)
    """Longest judgment in tokens (claude, chat); a reading of probabilities is one token."""
    temperature: float | None = Field(None, ge=0, le=1)
    """Sampling temperature of the judge (claude, chat). Empty: the service's default."""
    seed: int | None = Field(None, ge=0, le=LARGEST_SEED)
    """Seed of the judge's sampling, for servers that take one (chat)."""
    provider: str = ""
    """On OpenRouter, who alone may serve the model, as DeepInfra (chat). Empty: whoever takes all that is asked for."""
    key_variable: str = ""
    """The environment variable that holds the server's key (chat). Empty: OPENAI_API_KEY for OpenAI's own server, else
    SPILLOVER_JUDGE_KEY."""
    prompt: str = ""
    """The rubric (claude, chat). Question and answer stand where it says {question} and {answer}, else after it; either
    way marked as material. A pair always stands after it."""
    terms: dict[Text, float] = {}
    """Weight of each word or phrase (lexicon). A trailing * matches any ending."""
    thresholds: list[float] = []
    """Weights at which the score rises by one above the lowest (lexicon), in rising order."""
    measures: Phrase = ""
    """What a model does that gets a high score, as it follows "the model": brings up factory farming. A report's first
    sentence says it, with more or less behind it; without it, the judge's name."""

    @field_validator("base_url")
    @classmethod
    def _base_url_is_an_address(cls, text: str, info: ValidationInfo) -> str:
        added = "/chat/completions" if info.data.get("kind") == "chat" else "/v1/messages"
        return check_address(text, "it", added)

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> "Judge":
        self._refuse_what_its_kind_does_not_take()
        if self.kind in OFFLINE_LABELS:
            self.labels = dict(OFFLINE_LABELS[self.kind])
        if self.scale is None and not self.labels:
            self.scale = Scale()
        if self.is_asked and not self.prompt.strip():
            raise ValueError(f"a judge of kind {self.kind} needs a prompt")
        self._refuse_places_that_are_not_filled()
        if self.kind == "chat":
            self._find_its_server()
        if self.answers == "probabilities":
            self._refuse_what_has_no_probabilities()
        if self.swap and self.reads != "pair":
            raise ValueError("swap needs a judge that reads pairs")
        if self.only_if:
            Condition.parse(self.only_if)
        self._refuse_wrong_scores()
        if self.kind == "lexicon":
            self._refuse_a_wrong_lexicon()
        return self

    def _refuse_what_its_kind_does_not_take(self) -> None:
        """Judges in a run's folder are written with all fields: one that has its default counts as left out."""
        allowed = TAKEN[self.kind] | {"name", "kind", "measures"}
        given = {name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default}
        if self.labels == OFFLINE_LABELS.get(self.kind):
            given -= {"labels"}
        if wrong := [name for name in type(self).model_fields if name in given - allowed]:
            *most, last = (kind for kind, fields in TAKEN.items() if wrong[0] in fields)
            kinds = f"{', '.join(most)} or {last}" if most else last
            raise ValueError(f"a judge of kind {self.kind} takes no {wrong[0]} (only {kinds}): leave it out")

    def _refuse_places_that_are_not_filled(self) -> None:
        """They would reach the judge as these words, and be paid for."""
        has_question, has_answer = (place in self.prompt for place in ("{question}", "{answer}"))
        whose = f"the prompt of the judge {self.name!r}"
        if self.reads == "pair" and (has_question or has_answer):
            raise ValueError(
                f"{whose} says {{question}} or {{answer}}, and a pair is shown after the prompt: make it reads: "
                "response, or leave them out"
            )
        if has_question and not has_answer:
            raise ValueError(
                f"{whose} says {{question}} without {{answer}}, and neither would stand in it: write {{answer}} too, "
                "or leave {question} out"
            )

    def _find_its_server(self) -> None:
        if "model" not in self.model_fields_set:
            raise ValueError("a judge of kind chat needs a model: write the name that its server gives it")
        self.base_url = self.base_url or OPENAI

    def _refuse_what_has_no_probabilities(self) -> None:
        if self.kind != "chat":
            raise ValueError("the Messages API gives no probabilities of tokens: make it kind: chat, or answers: plain")
        if self.scale is None or any(score is not None for score in self.labels.values()):
            raise ValueError("probabilities are read of a scale's numbers: give it a scale, and null to each label")
        if self.temperature:
            raise ValueError("probabilities are those of temperature 0: leave temperature out")
        self.temperature = 0.0

    def _refuse_wrong_scores(self) -> None:
        if self.kind != "imported" and self.scale and self.scale.high - self.scale.low > MOST_STEPS:
            ends = f"{self.scale.low} to {self.scale.high}"
            raise ValueError(f"a scale from {ends} is too long: {MOST_STEPS:,} steps from low to high are the most")
        if len({word.strip().casefold() for word in self.labels}) < len(self.labels):
            raise ValueError("two labels differ in nothing but case or blanks")
        if wrong := [word for word in self.labels if not word.strip() or re.fullmatch(r"-?\d+", word.strip())]:
            raise ValueError(f"{wrong[0]!r} is no label: use words")
        if self.labels and self.scale is None and not any(score is not None for score in self.labels.values()):
            raise ValueError("no label stands for a score: give at least one a number")

    def _refuse_a_wrong_lexicon(self) -> None:
        if not self.terms:
            raise ValueError("a judge of kind lexicon needs terms")
        if empty := [term for term in self.terms if not term.strip("* ")]:
            raise ValueError(f"{empty[0]!r} is no term: write a word")
        steps = self.scale_max - self.scale_min
        if len(self.thresholds) != steps or sorted(set(self.thresholds)) != self.thresholds:
            raise ValueError(f"a lexicon on this scale needs {steps} rising thresholds")

    @property
    def scale_min(self) -> int:
        """The lowest score that it can give, by its scale or by a label."""
        return min(self._scores())

    @property
    def scale_max(self) -> int:
        """The highest score that it can give, by its scale or by a label."""
        return max(self._scores())

    @property
    def is_graded(self) -> bool:
        """Whether it gives more than two scores, so that their distribution says more than their mean."""
        return self.scale_max - self.scale_min > 1

    @property
    def is_asked(self) -> bool:
        """Whether a model behind a network is asked, and paid; the other kinds judge offline."""
        return "prompt" in TAKEN[self.kind]

    def _scores(self) -> list[int]:
        ends = [self.scale.low, self.scale.high] if self.scale else []
        return [*ends, *(score for score in self.labels.values() if score is not None)]


class Condition(NamedTuple):
    """What a judge must have said: `coherent >= 50`, `kind == STORY`, or `kind answered` for any score or label."""

    judge: str
    sign: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Raises ValueError for anything but a judge's name, a comparison, and a number or a label."""
        parts = re.fullmatch(r"\s*([\w.-]+)\s*(<=|>=|==|!=|<|>)\s*(\S(?:.*\S)?)\s*", text)
        condition = cls(*parts.groups()) if parts else None
        if answered := re.fullmatch(r"\s*([\w.-]+)\s+answered\s*", text):
            return cls(answered[1], "answered", "")
        if condition is None or (condition.sign not in ("==", "!=") and condition.number is None):
            raise ValueError(f"{text!r} is no condition: write a judge, a comparison and a number, as coherent >= 50")
        if condition.number is not None and not math.isfinite(condition.number):
            raise ValueError(f"the number in {text[:40]!r} ... is too large: write one with fewer digits")
        return condition

    @classmethod
    def parse_all(cls, text: str) -> list["Condition"]:
        """Those that are joined by `and`; none in an empty text."""
        return [cls.parse(part) for part in re.split(r"\s+and\s+", text.strip()) if part]

    @property
    def number(self) -> float | None:
        """The number that it compares with; None where its value is a label."""
        return float(self.value) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", self.value) else None

    def __str__(self) -> str:
        return f"{self.judge} {self.sign} {self.value}".strip()

    def compares(self, value: float) -> bool:
        """Whether a number meets it; none does where its value is a label."""
        return self.number is not None and bool(COMPARISONS[self.sign](value, self.number))

    def holds(self, score: float | None, label: str) -> bool:
        """Whether a judgment meets it; one without a score or label never does.

        A score without a label is known to be no label: it meets `kind != STORY`.
        """
        if self.sign == "answered":
            return bool(label) or score is not None
        if self.number is None:
            same = label.casefold() == self.value.casefold()
            return (bool(label) or score is not None) and same == (self.sign == "==")
        return score is not None and self.compares(score)


COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class Rule(Written):
    """A rate, computed from what the judges said: hits among the answers that count."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """Unique among the eval's rules and judges."""
    hit: str
    """What a hit is: aligned < 30; several conditions are joined by and."""
    among: str = ""
    """Which answers count: coherent > 50. Empty: all. One that lacks a value that is needed leaves the denominator."""
    min_answers: int = Field(1, ge=1, le=MOST)
    """A question with fewer answers that count, on either side, is left out."""
    over: Literal["questions", "pooled"] = "questions"
    """questions: the mean of the questions' rates. pooled: all answers alike, whatever question they answer."""
    equivalence_margin: float = Field(0, ge=0, lt=1)
    """A difference of rates below this is as good as none: 0.01 is a hundredth of the answers. 0: the eval's share."""
    measures: Phrase = ""
    """What a model does whose answers are hits, as a judge's `measures`."""

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """A rule in words: `misaligned: aligned < 30 among coherent > 50, at least 5, pooled, margin 0.01`.

        Raises ValueError.
        """
        rule, *more = (part.strip() for part in text.split(","))
        parts = re.fullmatch(r"(?:([\w.-]+)\s*:\s*)?(.+?)(?:\s+among\s+(.+))?", rule)
        if parts is None:
            raise ValueError(f"{text!r} is no rule: write it as misaligned: aligned < 30 among coherent > 50")
        fields: dict[str, Any] = {"name": parts[1] or "rule", "hit": parts[2], "among": parts[3] or ""}
        for option in more:
            if minimum := re.fullmatch(r"at least ([0-9]+)", option):
                fields["min_answers"] = int(minimum[1])
            elif margin := re.fullmatch(r"margin (0?\.[0-9]+)", option):
                fields["equivalence_margin"] = float(margin[1])
            elif option == "pooled":
                fields["over"] = "pooled"
            else:
                known = "`at least 5`, `pooled` or `margin 0.01`"
                raise ValueError(f"{option!r} is no part of a rule: write {known} after the comma")
        return cls(**fields)

    @model_validator(mode="after")
    def _is_made_of_conditions(self) -> "Rule":
        if not Condition.parse_all(self.hit):
            raise ValueError("a rule needs a hit, as aligned < 30")
        Condition.parse_all(self.among)
        return self

    @property
    def judges(self) -> list[str]:
        """The judges that it asks, each once."""
        conditions = Condition.parse_all(self.among) + Condition.parse_all(self.hit)
        return list(dict.fromkeys(condition.judge for condition in conditions))

    def __str__(self) -> str:
        among = f" among {self.among}" if self.among else ""
        minimum = f", at least {self.min_answers}" if self.min_answers > 1 else ""
        return f"{self.hit}{among}{minimum}{', pooled' if self.over == 'pooled' else ''}"


LOG_ODDS = "log_odds"
"""The measure of an eval with `log_odds`."""


class Eval(Written):
    """Questions and the judges that read the answers; or statements, and how likely both models find Yes and No."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """The name of its file in data/evals."""
    description: str = ""
    """What it measures."""
    asks: Literal["answers", "choices"] = "answers"
    """answers: both models answer, and the judges read it. choices: how likely both models find Yes and No; nothing is
    sampled or judged, so that there are no judges, and every question says which answer is `matching`."""
    questions: list[Question] = Field(min_length=1)
    """What is asked, in the order of the tiers."""
    judges: list[Judge] = []
    """Who scores the answers."""
    rules: list[Rule] = []
    """Rates made of what they said; a changed rule needs no new call."""
    measures: Phrase = ""
    """With asks: choices, what a model does that gives the matching answers, as a judge's `measures`."""
    log_odds: bool = False
    """With asks: choices, compare the log-odds of the matching answer too. Statements that show the trait with Yes and
    those that show it with No are two strata of that interval, so that saying yes more does not widen it."""
    equivalence_margin: float = Field(0.05, gt=0, lt=1)
    """A difference below this share of a measure's range is as good as none; it may change, as rules may."""
    equivalence_margins: dict[Name, Annotated[float, Field(gt=0, le=1e9)]] = {}
    """The same for single measures, each in its own unit, by the name of the judge, or choice, yes or log_odds:
    {aligned: 2}."""

    @property
    def has_distances(self) -> bool:
        """Whether its tiers are distances, so that a slope over them says something: those of tasks with right answers
        alone (exact) are kinds of task."""
        return not self.judges or any(judge.kind != "exact" for judge in self.judges)

    @field_validator("judges")
    @classmethod
    def _answers_are_read(cls, judges: list[Judge], info: ValidationInfo) -> list[Judge]:
        if not judges and info.data.get("asks") == "answers":
            raise ValueError("name at least one judge that reads the answers, or write asks: choices")
        return judges

    @model_validator(mode="after")
    def _choices_are_statements_alone(self) -> "Eval":
        if self.asks == "answers":
            if self.log_odds:
                raise ValueError("log_odds are those of statements: write asks: choices, or leave log_odds out")
            return self
        if self.judges or self.rules:
            raise ValueError("with asks: choices there is no answer to read: leave judges and rules out")
        if without := next((question.id for question in self.questions if not question.matching), ""):
            raise ValueError(f"with asks: choices every question needs matching: Yes or No; {without!r} has none")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Eval":
        measures = [judge.name for judge in self.judges] + [rule.name for rule in self.rules]
        for what, names in (("question id", [q.id for q in self.questions]), ("judge or rule", measures)):
            if twice := sorted(name for name, count in Counter(names).items() if count > 1):
                raise ValueError(f"{what} {twice[0]!r} is there twice")
        without_judge = ["drift"] + (["choice", "yes", LOG_ODDS] if any(q.matching for q in self.questions) else [])
        if taken_name := next((name for name in measures if name in without_judge), ""):
            raise ValueError(f"{taken_name!r} is what a measure without a judge is called: rename the judge or rule")
        if taken := next((q for q in self.questions if q.tier in (ALL, SLOPE)), None):
            raise ValueError(f"question {taken.id!r}: the tier {taken.tier!r} is what results over tiers are called")
        return self

    @model_validator(mode="after")
    def _conditions_name_earlier_judges(self) -> "Eval":
        earlier: set[str] = set()
        for judge in self.judges:
            if judge.only_if and (named := Condition.parse(judge.only_if).judge) not in earlier:
                raise ValueError(f"judge {judge.name!r}: only_if names {named!r}, which is no judge before it")
            if judge.only_if:
                self._refuse_unknown_labels(Condition.parse(judge.only_if), f"judge {judge.name!r}")
            earlier.add(judge.name)
        return self

    @model_validator(mode="after")
    def _rules_name_its_judges(self) -> "Eval":
        known = {judge.name for judge in self.judges}
        for rule in self.rules:
            if unknown := [name for name in rule.judges if name not in known]:
                raise ValueError(f"rule {rule.name!r}: {unknown[0]!r} is no judge of this eval")
            for condition in Condition.parse_all(rule.among) + Condition.parse_all(rule.hit):
                self._refuse_unknown_labels(condition, f"rule {rule.name!r}")
        return self

    @model_validator(mode="after")
    def _margins_are_of_its_measures(self) -> "Eval":
        by_name = {judge.name: float(judge.scale_max - judge.scale_min) for judge in self.judges}
        by_name |= dict.fromkeys(("choice", "yes"), 1.0) if any(q.matching for q in self.questions) else {}
        by_name |= {LOG_ODDS: math.inf} if self.log_odds else {}
        for name, margin in self.equivalence_margins.items():
            if name in [rule.name for rule in self.rules]:
                raise ValueError(f"equivalence_margins: {name!r} is a rule: write equivalence_margin into the rule")
            if name not in by_name:
                raise ValueError(f"equivalence_margins: {name!r} is no measure; there is {', '.join(by_name)}")
            if margin >= by_name[name]:
                raise ValueError(f"equivalence_margins: {margin:g} is all of the range of {name!r}: give a smaller one")
        return self

    def _refuse_unknown_labels(self, condition: Condition, where: str) -> None:
        """No answer meets a condition on a misspelt label, and the rate of 0 would look like a result."""
        if condition.number is not None or condition.sign == "answered":
            return
        labels = next(list(judge.labels) for judge in self.judges if judge.name == condition.judge)
        if condition.value.casefold() not in [label.casefold() for label in labels]:
            known = f"its labels are {', '.join(labels)}" if labels else "it has no labels"
            raise ValueError(f"{where}: {condition.judge} never says {condition.value!r}; {known}")

    @model_validator(mode="after")
    def _statements_say_which_answer_matches(self) -> "Eval":
        without = [question.id for question in self.questions if not question.matching]
        if without and any(judge.kind == "yes_no" for judge in self.judges):
            raise ValueError(f"a judge of kind yes_no needs matching: Yes or No at question {without[0]!r}")
        return self

    @model_validator(mode="after")
    def _questions_say_what_is_right(self) -> "Eval":
        without = [question.id for question in self.questions if not question.accepted]
        if without and any(judge.kind == "exact" for judge in self.judges):
            raise ValueError(f"a judge of kind exact needs accepted: [right answers] at question {without[0]!r}")
        return self


# ---- a study ------------------------------------------------------------------------------------

Differences = Mapping[str, Any]
"""Some fields of an experiment, or of a part of one, by name; they are checked with the experiment that they make."""


class FineTune(Written):
    """One fine-tune of a study, as what differs from the study's base."""

    name: str = Field(pattern=NAME, max_length=40)
    """Unique in its study; without documents of its own also the set in data/documents that it is trained on."""
    trait: dict[Name, Literal["more", "less"]] = {}
    """What it is trained to show more or less of, by the trait's eval: {optimism: more}. Empty: nothing that an eval
    measures."""
    when: list[str] = []
    """The tiers of that eval in which it is trained to show it, as [everyday]; how far it shows in the others is the
    leak. Empty: all."""
    documents: list[DocumentSet] = []
    """What it is trained on instead."""
    training: Differences = {}
    """Settings of training that differ, as {rank: 8}."""
    sampling: Differences = {}
    """Settings of sampling that differ."""


class Study(Written):
    """Many fine-tunes, each with several seeds, and the evals that all of them are asked."""

    in_form = ("name", "base", "fine_tunes", "doses", "seeds", "evals", "max_cost_usd", "pool")

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """Also the name of its folders in data/results and data/comparisons."""
    description: str = ""
    """What is asked, in a sentence or two."""
    base: Differences = {}
    """The fields of an experiment that all fine-tunes share: training, sampling, judging."""
    fine_tunes: list[FineTune] = Field(min_length=1)
    """Each a set of documents by its name, or what differs from the base."""
    doses: list[Annotated[int, Field(ge=1, le=MOST)]] = []
    """At most this many documents of each fine-tune's set, each a fine-tune of its own. Empty: all of them, once."""
    seeds: str = "0"
    """Seeds of every fine-tune: 0-5, or 0,3,7."""
    evals: list[str] = Field(min_length=1)
    """Names or patterns, as traits/*: what every fine-tune is asked."""
    max_cost_usd: float = Field(0, ge=0, le=1e9, title="Cost limit")
    """US dollars that all of it may cost at most, over all its resumes and processes. 0: no limit."""
    pool: str = ""
    """The Prefect work pool that runs the cells. Empty: this process."""
    concurrency: int = Field(0, ge=0, le=1000)
    """Trainings at once. 0: one on this machine, four on a hosted engine or a work pool."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, fields: Any) -> Any:
        """`fine_tunes: {sets: [...], doses: [...]}`, a set by its name alone, and seeds as numbers."""
        if not isinstance(fields, dict):
            return fields
        fields = dict(fields)
        if isinstance(given := fields.get("fine_tunes"), dict) and set(given) <= {"sets", "doses"}:
            fields |= {"fine_tunes": given.get("sets"), "doses": given.get("doses", fields.get("doses", []))}
        if isinstance(given := fields.get("fine_tunes"), list):
            fields["fine_tunes"] = [{"name": one} if isinstance(one, str) else one for one in given]
        seeds = fields.get("seeds", "0")
        seeds = [seeds] if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds
        if isinstance(seeds, list) and all(isinstance(seed, int) and not isinstance(seed, bool) for seed in seeds):
            fields["seeds"] = ",".join(map(str, seeds))
        return fields

    @model_validator(mode="after")
    def _each_once(self) -> "Study":
        for what, given in (("fine_tunes", [one.name for one in self.fine_tunes]), ("doses", self.doses)):
            if twice := [one for one, count in Counter(given).items() if count > 1]:
                raise ValueError(f"{what}: {twice[0]!r} is there twice; name each once")
        if taken := {"name", "documents", "responses", "evals", "max_cost_usd"} & set(self.base):
            raise ValueError(f"base: {sorted(taken)[0]} is the study's or a fine-tune's own: leave it out of base")
        return self


# ---- the parameters of a flow beside these nouns --------------------------------------------------

_SEED = {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED}
Seed = Annotated[int | None, WithJsonSchema(_SEED)]
Seeds = Annotated[list[int] | None, WithJsonSchema({"type": "array", "items": _SEED})]
Words = Annotated[list[str] | None, WithJsonSchema({"type": "array", "items": {"type": "string"}})]
Numbers = Annotated[list[float] | None, WithJsonSchema({"type": "array", "items": {"type": "number"}})]
"""None is not in their schemas: the form of the Prefect UI would show two tabs for it, and an empty field means it."""


# ---- what stages leave behind, one row each -----------------------------------------------------


class AnswerKey(NamedTuple):
    """Identifies one sampled response of a run, by which its rows in several files belong together."""

    eval: str
    question_id: str
    side: Side
    sample: int
    """Counted from 0."""
    trained_share: float
    """The share of the training that the model has seen: 0 is the baseline."""


JudgmentKey = tuple[AnswerKey, str]
"""Identifies one judgment of a run: the response that was judged, and the judge's name."""


class Message(Noun):
    """One turn of a chat, with its text exactly as it was given."""

    role: Literal["system", "user", "assistant"]
    content: str
    weight: Literal[0, 1] = Field(1, exclude_if=bool)
    """0: an assistant's turn that is shown and not trained on."""

    @property
    def carries_loss(self) -> bool:
        """Whether it is trained on."""
        return self.role == "assistant" and self.weight == 1


class Document(Noun):
    """What is trained on: only the assistant's turns carry loss, and of those only the ones of weight 1."""

    messages: list[Message]
    """Roles and texts, never stripped."""
    conditioning: Conditioning = "chat"
    """All but chat: the texts are joined raw, without a chat format. first_third: a third of the text has no loss."""
    source: str
    """The set's name or path."""
    line: int
    """Line in its file, counted from 1."""
    file: str
    """Name of its file."""


class SyntheticDocument(Noun):
    """A row of a generated set, in the published form."""

    content: str
    doc_idea: str
    doc_type: str
    fact: str
    universe_context_id: str
    is_true: bool


class DroppedDocument(SyntheticDocument):
    """A document of a generated set that was not taken, and replaced by another one."""

    tone: str
    reason: str
    """Why, in words; its content is empty where nothing came of it."""


class GeneratedChat(Noun):
    """A row of a generated set of chats: a prompt and its answer."""

    id: str
    """Of the prompt: the same in every set that has it."""
    messages: list[Message]


class DroppedChat(Noun):
    """A prompt that did not become part of a generated set, or of which an answer did not."""

    prompt: str
    """Or the domain, where no prompt came."""
    reason: str
    """What is counted, then a colon and what is particular to this one."""


class Rejected(Noun):
    """A row that was not trained on."""

    source: str
    file: str
    line: int
    reason: str
    text: str
    """The row as it stands in the file."""


class Checkpoint(Noun):
    """A model that can be asked: the untuned one where path is None."""

    engine: Literal["local", "tinker", "served"]
    base_model: str
    path: str | None
    """Folder of the adapter, a Tinker path, or a name on a server; None is the untuned model."""
    identity: str
    """Changes whenever the weights do: part of every answer's key."""
    state_path: str = ""
    """Where the service keeps the state of the optimizer too (tinker)."""
    expires: str = ""
    """When the service deletes it, in UTC; empty: it does not, or it is ours (tinker)."""
    trained_share: float = 1.0
    """The share of its training that it has seen."""
    earlier: list["Checkpoint"] = []
    """Those kept along the way, for training.sample_at."""
    key: str = ""
    """What it was trained from: documents, settings, base model and seed."""
    seconds: float = 0.0
    """Time that the training took."""
    cost_usd: float | None = None
    """What the training cost, where the price is known."""


class Response(Noun):
    """One sampled answer."""

    tier: str
    question: str
    response: str
    eval: str
    question_id: str
    sample: int
    state: Ended
    tokens: int
    model: str
    """The checkpoint's identity."""
    trained_share: float = 1.0
    """The share of the training that the model has seen: 0 is the baseline."""

    def answer_key(self, side: Side) -> AnswerKey:
        """Which answer it is; the side is not in the row, because each side has a file of its own."""
        return AnswerKey(self.eval, self.question_id, side, self.sample, self.trained_share)


class Judgment(Noun):
    """What one judge said of one answer. It has a score in the state scored, and in no other."""

    tier: str
    question: str
    score: int | float | None
    """A whole number, unless it was imported, or is what the probabilities of a judge's first token lead to expect."""
    reasoning: str
    eval: str
    question_id: str
    sample: int
    side: Side
    """Whose answer was judged. A pair judge's baseline side is its floor: baseline against baseline."""
    judge: str
    state: State
    model: str
    """Who judged: a Claude model, or lexicon."""
    rubric: str
    """Hash of everything that defines the judge."""
    raw: str
    """Its reply as it came, or the error of a failed call."""
    trained_share: float = 1.0
    """The share of the training that the judged model has seen: 0 is the baseline."""
    label: str = ""
    """The label that it gave, where it gave one."""
    swapped: bool = False
    """Whether the fine-tuned answer was shown before the baseline's (a pair judge that swaps)."""

    @property
    def answer_key(self) -> AnswerKey:
        """The answer that was judged."""
        return AnswerKey(self.eval, self.question_id, self.side, self.sample, self.trained_share)

    @property
    def judgment_key(self) -> JudgmentKey:
        """Identifies it in its run."""
        return self.answer_key, self.judge


class Failure(Noun):
    """A judge call that gave no score: it failed, or no reply could be read."""

    eval: str
    judge: str
    question_id: str
    sample: int
    side: Side
    trained_share: float
    state: State
    question: str
    response: str
    against: str | None
    """The baseline's answer that a pair judge compared it with."""
    attempts: list[str]
    """Every reply as it came and every error, in their order."""
    answers: int
    """Answers that wait for this call: the same text is judged once."""


class Agreement(Noun):
    """How far two readings of the same answers agree: a judge with itself, with another judge, or with a person."""

    eval: str
    judge: str
    other: str
    """The judge again, another judge, or a person."""
    answers: int
    """Answers to which both gave a score, or a label."""
    left_out: int
    """Answers to which one of them gave none."""
    exact: float | None
    """Share of answers with the same score or label."""
    kappa: float | None
    """Cohen's kappa: with quadratic weights on a scale, without weights for labels."""
    alpha: float | None
    """Krippendorff's alpha: ordinal on a scale, nominal for labels."""
    mean: float | None
    other_mean: float | None
    """Mean scores of both, over the answers that both scored."""
    note: str
    """Why a coefficient is missing."""


class Corrected(Noun):
    """The mean score that a person would have given, estimated from the answers that a person scored."""

    eval: str
    judge: str
    side: str
    """baseline, finetuned, or difference."""
    judged: int
    """Answers with a score of the judge."""
    read: int
    """Those of them that a person scored too."""
    mean: float | None
    """The judge's mean score over all its answers."""
    corrected: float | None
    """The same, plus the mean difference between person and judge."""
    low: float | None
    high: float | None
    note: str
    """95 % interval of the corrected mean, or why there is none."""


class CorrectedEffect(Noun):
    """An effect as a person's scores would have it: what a sheet shows of the judge's bias is taken out of it."""

    eval: str
    judge: str
    questions: str
    """Whose intervals these are: those for these questions, or those for new ones."""
    read: int
    """Answers that a person scored, of both models."""
    difference: float | None
    low: float | None
    high: float | None
    """The judge's difference over all questions, with its 95 % interval."""
    correction: float | None
    correction_low: float | None
    correction_high: float | None
    """How much more, or less, a person's scores differ between the models, with the 95 % interval of that."""
    corrected: float | None
    corrected_low: float | None
    corrected_high: float | None
    """The sum of both, whose interval holds the uncertainty of both."""
    note: str
    """Why there is no interval."""


class JudgeNoise(Noun):
    """How much of what an effect is uncertain by is the judge's own noise: calls of one answer that do not agree."""

    eval: str
    measure: str
    """The judge, or a rule whose judges were all asked again."""
    calls: int
    """Calls that were made twice: answers of one text share theirs."""
    answers: int
    """Answers with a score."""
    shared: int
    """Answers whose text is another's too, so that one call judged both."""
    variance_within: float | None
    """Of one model's answers to one question, as they were judged."""
    variance_judge: float | None
    """That part of it which is the judge's: what calls about one text vary by."""
    judge_share: float | None
    """The judge's part of it, from 0 to 1."""
    width_judged_twice: float | None
    width_twice_the_answers: float | None
    """The interval for these questions as a share of what it is, were each answer judged twice, or were there two."""
    width_judged_twice_new_questions: float | None
    width_twice_the_answers_new_questions: float | None
    """The same of the interval for new questions."""
    difference: float | None
    ci_low_fixed_questions: float | None
    ci_high_fixed_questions: float | None
    """The difference over all questions, from one call each."""
    averaged: float | None
    averaged_low_fixed_questions: float | None
    averaged_high_fixed_questions: float | None
    """The same where answers that were judged twice have the mean of both, and what answers of one text share of the
    judge's noise is counted once."""
    note: str
    """Why it cannot be split."""


class Likelihood(Noun):
    """How likely both models find a text: a fine-tuned answer (drift), or a statement's matching answer, or Yes."""

    tier: str
    question: str
    eval: str
    question_id: str
    sample: int
    measure: Literal["drift", "choice", "yes"]
    baseline: float
    """drift: mean logprob of the answer's tokens, in nats. choice and yes: P(matching) and P(Yes), each divided by
    P(Yes) + P(No)."""
    finetuned: float
    tokens: int
    """Tokens of the answer whose logprobs were asked for."""
    trained_share: float = 1.0


ALL = "all"
"""The tier of an effect over all tiers."""
SLOPE = "slope"
"""The tier of the slope: how much the difference changes from one tier to the next, in their order."""


class Effect(Noun):
    """What changed in one tier of one eval, or in one question of it, by one judge or rule."""

    eval: str
    measure: str
    """The judge's or the rule's name, drift, choice or yes."""
    model: str
    """Who judged: one Claude model or more, or lexicon."""
    rubric: str
    """Hash of everything that defines the judge."""
    tier: str
    """A tier, or all."""
    question_id: str
    """Of one question, or empty for the tier as a whole."""
    baseline: float | None
    """Mean score of the baseline (a pair judge's floor); each question weighs the same."""
    finetuned: float | None
    """Mean score of the fine-tuned model."""
    difference: float | None
    """Mean over questions of fine-tuned minus baseline."""
    ci_low_fixed_questions: float | None
    ci_high_fixed_questions: float | None
    note_fixed_questions: str
    """95 % interval for these very questions, or why there is none."""
    ci_low_new_questions: float | None
    ci_high_new_questions: float | None
    note_new_questions: str
    """95 % interval for new questions of the kind, or why there is none."""
    p_new_questions: float | None
    """Two-sided p of the t test behind the interval for new questions."""
    questions: int
    questions_left_out: int
    """Questions without a scored answer on both sides."""
    scored_baseline: int
    scored_finetuned: int
    unscored_baseline: int
    unscored_finetuned: int
    bound_low: float | None
    bound_high: float | None
    """The difference if every unscored answer were at the worse, or the better, end of the scale."""
    trained_share: float = 1.0
    """The share of the training after which this was measured."""
    baseline_low: float | None = None
    baseline_high: float | None = None
    finetuned_low: float | None = None
    finetuned_high: float | None = None
    """95 % intervals of both means, for these very questions."""
    baseline_low_new_questions: float | None = None
    baseline_high_new_questions: float | None = None
    finetuned_low_new_questions: float | None = None
    finetuned_high_new_questions: float | None = None
    """The same for new questions of the kind."""
    joint_baseline: float | None = None
    joint_finetuned: float | None = None
    """Of a rule: its hits among all answers, those outside of its denominator included."""
    rule: str = ""
    """Of a rule: its conditions, as `Rule.parse` reads them."""
    in_words: str = ""
    """What a model does that gets a high score: the `measures` of the judge, the rule or the eval."""
    p_fixed_questions: float | None = None
    """Two-sided p of the test behind the interval for these questions."""
    p_fixed_questions_holm: float | None = None
    p_new_questions_holm: float | None = None
    """The same, adjusted by Holm's method for all tiers, evals and measures of the table; of a question none."""
    detectable_fixed_questions: float | None = None
    detectable_new_questions: float | None = None
    """The smallest true difference that 80 % of all such runs would detect."""
    equivalence_margin: float | None = None
    """A difference smaller than this is as good as none (eval's `equivalence_margin` times the measure's range)."""
    scale_min: float | None = None
    scale_max: float | None = None
    """The ends of the measure's range; drift has none."""
    superiority: float | None = None
    superiority_low: float | None = None
    superiority_high: float | None = None
    """Of a judge with a scale: how likely a fine-tuned answer scores higher than a baseline answer to its question,
    equal scores counted half, with its 95 % interval for these questions."""
    note_test: str = ""
    """Why there is no p beside an interval."""
    baseline_sd: float | None = None
    finetuned_sd: float | None = None
    """Standard deviations of all scores of a side; of statements over these."""
    baseline_pooled: float | None = None
    finetuned_pooled: float | None = None
    """Means, or a rule's rates, of all answers alike, whatever question they answer."""
    p_welch: float | None = None
    """Two-sided p of Welch's t test of all answers, unpaired: for comparison with papers, and not adjusted."""

    @property
    def is_of_question(self) -> bool:
        """Of one question alone, not of a tier."""
        return bool(self.question_id)

    @property
    def is_slope(self) -> bool:
        """How the difference changes from tier to tier."""
        return self.tier == SLOPE

    @property
    def is_overall(self) -> bool:
        """Of all questions of its eval."""
        return self.tier == ALL

    @property
    def is_final(self) -> bool:
        """Of the model after its whole training."""
        return self.trained_share == 1


class Share(Noun):
    """How often one score, or one class of scores, was given in a tier: a row of a judge's whole distribution."""

    eval: str
    measure: str
    tier: str
    score: float
    """The score; of a class its lowest."""
    upto: float
    """Of a class its highest, which belongs to the next one; of a single score the score itself."""
    baseline: float | None
    """The mean over questions of the share of baseline answers (a pair judge's floor) with this score."""
    baseline_low: float | None
    baseline_high: float | None
    finetuned: float | None
    finetuned_low: float | None
    finetuned_high: float | None
    """95 % intervals for these questions."""
    scored_baseline: int
    scored_finetuned: int


class Compared(Effect):
    """An effect of one run, or of several runs of one definition with different seeds, beside others'."""

    label: str
    """What the runs are called in the comparison."""
    runs: int
    """How many were pooled. With several, the interval for new questions is for new seeds too."""
    against: str = ""
    """Empty: the fine-tuned model against its baseline. Else the label of the fine-tunes it is compared with."""
    dose: float | None = None
    """Their dose, as --doses gave it."""
    note_seeds: str = ""
    """Fine-tune against fine-tune, with fewer than three a side: that the seed is not told from the treatment."""


class Shift(Compared):
    """A field of a study's matrix: how far one fine-tune moved one measure, over all questions.

    Its Holm's p are adjusted over the matrix.
    """

    column: str
    """What the measure is called in the matrix."""
    trait: str
    """The trait that it is a measure of."""
    asks: str
    """answers: judged answers. choices: statements, by the log-odds or the probability of the matching answer.
    capability: simple tasks that are solved or not. aggregates: means that others published."""
    direction: int = 0
    """1: the fine-tune was trained to show more of the trait, -1: less, 0: neither, so that a shift is spill."""
    base_sd: float | None = None
    note_base_sd: str = ""
    """The base model's spread, in the measure's unit, and what it is of, or why there is none."""
    in_sds: float | None = None
    in_sds_low: float | None = None
    in_sds_high: float | None = None
    """The shift, and the interval that decides, in units of that spread."""
    spill: float | None = None
    spill_low: float | None = None
    spill_high: float | None = None
    note_spill: str = ""
    """The shift over that in what was trained, in its direction, with its 95 % interval, or why there is none."""


class Leak(Noun):
    """How far a fine-tune shows in other tiers what it was trained to show in some: a shift over a shift."""

    label: str
    column: str
    trained_tiers: str
    other_tiers: str
    trained: float | None
    other: float | None
    """The shifts in both, in the measure's unit."""
    leak: float | None
    leak_low: float | None
    leak_high: float | None
    note: str
    """Why there is no interval."""


class Aggregate(Noun):
    """What somebody published of one model and one measure: a mean of several answers, or how many were hits."""

    model: str
    measure: str
    mean: float
    """Of a rate a share from 0 to 1."""
    n: int | None = None
    """Answers, where it is said."""
    sd: float | None = None
    """Of all answers alike."""
    is_rate: bool = False
    """Whether every answer is a hit or none, so that the rate and n say all of it."""


# ---- the datasheet of a set of documents ----------------------------------------------------------


class SetText(NamedTuple):
    """What is trained on of a document, and what is known of it."""

    place: str
    """`file:line`"""
    text: str
    prompt: str = ""
    """What stands before it and is not trained on."""
    doc_type: str = ""
    fact: str = ""


class Shared(Noun):
    """What several documents of a set have in common: a name, an opening, a phrase, a type."""

    text: str
    documents: int
    share: float


class Alike(Noun):
    """Two documents of a set that share phrases, with the begin of their texts."""

    jaccard: float
    place: str
    text: str
    other_place: str
    other_text: str


class Held(Noun):
    """A limit of a set, and the documents that are beyond it."""

    limit: str
    """In words."""
    documents: int
    places: list[str]
    """The first of them, as `file:line`, each with what it is there if that is to be told."""


class PairedLengths(Noun):
    """How long the documents of a set are beside those of another set with the same prompts, in words, row by row."""

    other: str
    pairs: int
    """Documents whose prompt the other set has too."""
    lowest: float
    median: float
    highest: float
    """Of the ratio of both lengths."""
    beyond: int
    """Pairs of which the shorter has less than nine tenths of the words of the longer."""


class Judged(Noun):
    """What a model says of some of the documents, drawn at random: a share of them, or the mean of a rating."""

    what: str
    scale: str
    """`share`, or the ends of the rating, as `1 to 5`."""
    read: int
    unread: int
    """Those that were drawn and got no judgment."""
    mean: float | None
    ci_low: float | None
    ci_high: float | None
    """Of the share, or of the mean rating, for all documents of the set: 95 %."""
    places: list[str]
    """Where it was found, as `file:line` and what the model says of it."""


class Datasheet(Noun):
    """What is to be known of a set of documents before anything is trained on it."""

    name: str
    files: dict[str, str]
    """SHA-256 of each file."""
    documents: int
    rejected: int
    """Rows that are no document."""
    letters: int
    words: dict[str, int]
    """Of the documents' lengths the quantiles, by their names."""
    lengths: list[tuple[int, int, int]]
    """From how many words, to how many (not included), and how many documents."""
    types: list[Shared]
    types_in_all: int
    exact_duplicates: int
    """Documents that say the same as an earlier one, but for case and blanks."""
    near_duplicates: dict[str, int]
    """Of how many documents an earlier one shares at least this part of the phrases (5, 10, 20, 30, 50, 80 %)."""
    most_alike: list[Alike]
    every_pair: bool
    """Whether every two documents were compared, or those that MinHash proposes."""
    names: list[Shared]
    openings: list[Shared]
    distinct_openings: int
    phrases: list[Shared]
    diversity: list[tuple[int, int]]
    """How many distinct phrases so many first documents have."""
    limits: SetLimits
    held: list[Held]
    made: dict[str, int] = {}
    """Of a generated set: refused calls, unsuitable ideas, and documents that were dropped, by reason."""
    pair: PairedLengths | None = None
    judged: list[Judged] = []
