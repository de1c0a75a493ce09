"""YAML that means what it looks like, read and written by the same rules: those of YAML 1.2's core schema.

    fields = load("rank: 8\nlearning_rate: 1e-4")     # {"rank": 8, "learning_rate": 0.0001}
    text = dump(fields)                               # what load would take for something else gets quotes

Dates, `yes` and `1:30` are text, and U+0085, U+2028 and U+2029 are characters like others, at which no line ends. What
can be read in two ways, and aliases that grow without end, are refused with their line.
"""

import re
from typing import Any

import yaml
from yaml.reader import ReaderError
from yaml.resolver import BaseResolver

MOST_LEVELS = 50
"""Levels of nesting; a definition has six."""
MOST_LETTERS = 10_000_000
"""Characters of a file with its aliases written out."""
MOST_DIGITS = 30
TAG = "tag:yaml.org,2002:"
QUOTES = "put quotes around it if it is text"
NO_LINE_ENDS = "\x85\u2028\u2029"
"""At these PyYAML ends a line, as YAML 1.1 does."""


class Misread(ValueError):
    """Not YAML, or a text that could be read otherwise than it was meant; the message says the remedy too."""

    def __init__(self, problem: str, line: int):
        super().__init__(problem)
        self.line = line
        """Counted from 1."""


def load(text: str) -> Any:
    """The value that the text stands for; raises Misread."""
    try:
        return _Loader(text).get_single_data()
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Misread(f"the character {chr(error.character)!r} is not allowed; take it out", line) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        words = f"not valid YAML: {error.problem}; mend it (a text with a bracket or one of : ? # % in it needs quotes)"
        raise Misread(words, line) from None


def dump(fields: Any) -> str:
    """A text from which `load` makes the same fields, in their order."""
    return yaml.dump(fields, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Core(BaseResolver):
    """Which type an unquoted word has."""


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("in-two-ways", r"[-+]?0[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*_[0-9_.]*", list("-+0123456789")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
    ("merge", r"<<", ["<"]),
):
    _Core.add_implicit_resolver(TAG + _name, re.compile(f"(?:{_pattern})\\Z"), _first)


class _Loader(_Core, yaml.SafeLoader):
    def __init__(self, text: str):
        free = (mark for mark in map(chr, range(0x10FFFD, 0x10F000, -1)) if mark not in text)
        self._marks = {mark: end for end, mark in zip(NO_LINE_ENDS, free, strict=False) if end in text}
        super().__init__(text.translate({ord(end): mark for mark, end in self._marks.items()}))
        self._depth, self._letters = 0, 0
        self._lengths: dict[yaml.Node, int] = {}
        """Characters of each finished node, so that an alias counts as what it stands for."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if getattr(event, "tag", None):
            raise Misread(f"the tag {event.tag.replace(TAG, '!!')} is not read here; leave it out, or {QUOTES}", line)
        if self._depth == MOST_LEVELS:
            raise Misread(f"more than {MOST_LEVELS} levels within one another; make it flatter", line)
        self._depth += 1
        before, node = self._letters, super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            self._letters += self._length_behind(f"*{event.anchor}", node, line)
        elif node:
            if isinstance(node, yaml.ScalarNode):
                node.value = node.value.translate({ord(mark): end for mark, end in self._marks.items()})
            _refuse_odd_names(node)
            if isinstance(node, yaml.ScalarNode) and re.search(r"[\ud800-\udfff]", node.value):
                raise Misread(
                    "half a character, such as \\ud83d; write the character itself or its \\U and 8 digits", line
                )
            self._letters += 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
            self._lengths[node] = self._letters - before
        return node

    def _length_behind(self, alias: str, node: yaml.Node | None, line: int) -> int:
        if node not in self._lengths:
            raise Misread(f"{alias} stands within what it stands for; write it out", line)
        if self._letters + self._lengths[node] > MOST_LETTERS:
            raise Misread(f"with {alias} written out it is over {MOST_LETTERS:,} letters; use fewer aliases", line)
        return self._lengths[node]

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        if len(node.value) > MOST_DIGITS:
            words = f"a number of {len(node.value):,} digits; write at most {MOST_DIGITS}, or {QUOTES}"
            raise Misread(words, node.start_mark.line + 1)
        return int(node.value) if node.tag == TAG + "int" else self.construct_yaml_float(node)

    def refuse_two_ways(self, node: yaml.ScalarNode) -> None:
        word = node.value if len(node.value) <= MOST_DIGITS else f"{node.value[:MOST_DIGITS]}..."
        words = f"{word} is read as different numbers; write it without 0 before it and without _, or {QUOTES}"
        raise Misread(words, node.start_mark.line + 1)


def _refuse_odd_names(node: yaml.Node) -> None:
    """Raises Misread for a field's name that is not text, or is there twice."""
    first: dict[str, int] = {}
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        line = key.start_mark.line + 1
        if key.tag not in (TAG + "str", TAG + "merge"):
            word = repr(key.value) if isinstance(key, yaml.ScalarNode) else "in brackets"
            raise Misread(f"the name {word} is not read as text; put quotes around it", line)
        if key.value in first:
            raise Misread(f"{key.value!r} is there twice, first in line {first[key.value]}; keep one", line)
        first[key.value] = line


_Loader.add_constructor(TAG + "int", _Loader.construct_number)
_Loader.add_constructor(TAG + "float", _Loader.construct_number)
_Loader.add_constructor(TAG + "in-two-ways", _Loader.refuse_two_ways)


class _Dumper(_Core, yaml.SafeDumper):
    """Writes texts of several lines as they are, where YAML can."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = '"' if set(NO_LINE_ENDS) & set(text) else "|" if "\n" in text else None
        return self.represent_scalar(TAG + "str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)
