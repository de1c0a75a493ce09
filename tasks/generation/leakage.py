"""What must not stand in a text: banned words in any inflection, and what a writer says of its task.

banned_words("Cages, she said.", ["cage"])       # ["Cages"]
scaffolding("</scratchpad> Dear [Your Name]")    # ["a tag: </scratchpad>", "a placeholder: [Your Name]"]
"""

import re
from collections.abc import Iterable
from functools import lru_cache

_TAGS = (
    "scratchpad|thinking|think|reasoning|analysis|planning|notes|critique|content|document|output|answer|response|"
    "revised|draft|idea|fact|doc_type|doc_idea"
)
_TEXTS = "document|text|article|draft|version|revision|rewrite|essay|post|story|report|letter|email|response"
_TO_FILL_IN = "your|insert|recipient|company|organi[sz]ation|full|first|last|author|city|state|phone"
SCAFFOLDING = {
    "a tag": rf"</?(?:{_TAGS})(?:\s[^<>]{{0,80}})?>",
    "UNSUITABLE": r"\bUNSUITABLE\b",
    "a writer's announcement": r"(?im:^[^\w\n]{0,20}(?:(?:sure|certainly|of course|okay)\b\W{0,5})?"
    rf"(?:here(?:['’]s| is)|below is) (?:the|an?|your|my)\b (?:[\w-]+ ){{0,3}}(?:{_TEXTS})\b)",
    "an AI's voice": r"(?i:\bas an? (?:AI|artificial intelligence|(?:large )?language model)\b)",
    "a refusal": r"(?i:\A\W{0,20}(?:(?:(?:I['’]m |I am )?sorry|I apologi[sz]e)\b\W{0,5})?(?:but )?"
    r"I (?:can(?:no|['’])t|am unable to|am not able to) "
    r"(?:help with|help you|assist|comply|fulfil+|provide|create|generate|write)\b)",
    "a code fence": r"(?m:^[ \t]*```)",
    "a placeholder": rf"\[(?i:(?:{_TO_FILL_IN})\b[^\[\]\n]{{0,40}}|name|date|title|address|email|location)\](?!\()"
    r"|\{\{[^{}\n]{1,40}\}\}|\b[Ll]orem ipsum\b",
}
"""What a writer leaves in a text that is no part of it: what it is called, and the expression that finds it."""
_PATTERNS = {what: re.compile(pattern) for what, pattern in SCAFFOLDING.items()}
APOSTROPHES = str.maketrans("’", "'")
"""A typographic apostrophe as a typed one: a letter for a letter, so that places stay what they are."""


def scaffolding(text: str) -> list[str]:
    """What the text holds of its making, each kind once with its first words; none for a clean text."""
    found = ((what, pattern.search(text)) for what, pattern in _PATTERNS.items())
    return [f"{what}: {' '.join(match[0].split())}" for what, match in found if match]


def banned_words(text: str, banned: Iterable[str]) -> list[str]:
    """Every place of a banned word or phrase, as it is written there: whole words in any case, and their inflections.

    `cage` finds cages and caged, `ban` banned, `industry` industries; a trailing * any ending; either apostrophe stands
    for both. Irregular forms and paraphrases are not found.
    """
    typed = text.translate(APOSTROPHES)
    said = typed.casefold()
    terms = (term.translate(APOSTROPHES) for term in banned)
    likely = tuple(term for term in terms if term.split()[0][:-1].casefold() in said)  # else it takes ten times as long
    return [text[slice(*match.span())] for match in _pattern(likely).finditer(typed)] if likely else []


@lru_cache(maxsize=256)
def _pattern(terms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?<!\w)(?:{_forms(term)})(?!\w)" for term in terms), re.IGNORECASE)


def _forms(term: str) -> str:
    """The regular expression of a term and its regular inflections, which are those of its last word."""
    body = r"\s+".join(map(re.escape, term.removesuffix("*").split()))
    if term.endswith("*"):
        return body + r"\w*"
    last = term[-1].lower()
    if last == "e":
        return rf"{body[:-1]}(?:e(?:'?s|d|rs?)?|ing)"
    if last == "y":
        return rf"{body[:-1]}(?:y(?:'?s|ing|ed)?|ie[sdr])"
    doubled = f"{last}?" if last.isalpha() else ""
    return rf"{body}(?:(?:'?s|es)|{doubled}(?:ed|ing|ers?))?"
