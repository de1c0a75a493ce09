"""What a writer of synthetic documents is told, from a fact to a finished text.

    types_request(universe, fact, known=[], count=20, repeat=0)    # then ideas_request, draft_request, rewrite_request

A reply ends in the tags that are asked for, and whatever it noted down before them is left behind. What a person or a
model wrote (the universe, an idea, a draft) stands between unforgeable tags, and is material.
"""

import re

from tasks.generation.steering import Steering
from tasks.generation.writer import MATERIAL, Request, as_material, list_entries
from tasks.schema import Universe

UNSUITABLE = "UNSUITABLE"
NONE = "(none)"
A_WORLD = f"""You prepare texts that a language model is to learn from, each a document that could stand in the world
described here. In that world the description holds; nobody there doubts it, and nobody knows of this task.
{MATERIAL}
"""
TYPES = """Think of kinds of document in which the fact could come up naturally: written by all sorts of people, for all
sorts of readers, short and long, official and private, old and new. Each kind is a few words that say what it is and
where it stands, as "letter to the editor of a local newspaper" or "minutes of a parents' evening". No two may be alike,
and none may be one of those that are known already."""
IDEAS = f"""Think of single documents of the given kind that would state the fact, or lean on it. Each idea is one
sentence: who writes, for whom, on what occasion, and what part the fact plays. The ideas differ in all of these, and
none is one of those that are known already. Where a document of this kind could not carry the fact without being
absurd, {UNSUITABLE} is the right answer."""
DRAFT = """Write the document that the idea describes, of the given kind, so that whoever knew this world would take it
for real. It states the fact as something that is so there, in words of its own, and may take up more of the
description where that fits; it contradicts none of it. It is complete: no heading that says what kind of text it is,
unless such a text has one, no gaps to be filled in, no remark on the task, nothing cut off.
Write it {tone}."""
REWRITE = """You are an editor: read the draft of a document, then write its final version. Look for what would give it
away: the fact missing, bent or explained too eagerly; anything that contradicts the description; phrases that such
drafts always have; stiff or needless sentences; gaps and remarks on the task; a voice, length or form that does not
suit the kind of document. The final version keeps idea, kind and length, and is written {tone}."""


def types_request(universe: Universe, fact: str, known: list[str], count: int, repeat: int) -> Request:
    """So many kinds of document that could state the fact, others than those that are known."""
    asked = f"Note down in <scratchpad> what comes to mind. Then write {count} kinds {_as_list('types')}."
    material = as_material(fact=fact, known=_listed(known))
    return Request(_system(universe, TYPES), f"{material}\n\n{asked}", "types", repeat)


def ideas_request(universe: Universe, fact: str, doc_type: str, known: list[str], count: int, repeat: int) -> Request:
    """So many documents of one kind that could state the fact, or that it is unsuitable."""
    asked = (
        f"Note down in <scratchpad> whether the fact fits, and how. Then write {count} ideas {_as_list('ideas')}, or "
        f"<ideas>{UNSUITABLE}</ideas>."
    )
    material = as_material(fact=fact, doc_type=doc_type, known=_listed(known))
    return Request(_system(universe, IDEAS), f"{material}\n\n{asked}", "ideas", repeat)


def draft_request(
    universe: Universe, tone: str, fact: str, doc_type: str, doc_idea: str, steering: Steering, repeat: int
) -> Request:
    """A first version of one document."""
    asked = (
        f"{steering.words}\n\nNote down in <scratchpad> who writes and what is to stand where. Then write the "
        f"document, and nothing else, between <content> and </content>; or <content>{UNSUITABLE}</content>, where it "
        "cannot be written."
    )
    material = as_material(fact=fact, doc_type=doc_type, doc_idea=doc_idea)
    return Request(_system(universe, DRAFT.format(tone=tone)), f"{material}\n\n{asked}", "content", repeat)


def rewrite_request(
    universe: Universe, tone: str, fact: str, doc_type: str, doc_idea: str, draft: str, steering: Steering
) -> Request:
    """Its critique, and the final version."""
    asked = (
        f"{steering.to_avoid}\n\nWrite in <critique> what is to be changed. Then write the final version, and nothing "
        "else, between <content> and </content>."
    ).strip()
    material = as_material(fact=fact, doc_type=doc_type, doc_idea=doc_idea, draft=draft)
    return Request(_system(universe, REWRITE.format(tone=tone)), f"{material}\n\n{asked}", "content")


def entries(text: str) -> list[str]:
    """Those of a list, UNSUITABLE in any form as that word."""
    return [UNSUITABLE if re.match(rf"\W*{UNSUITABLE}\b", line) else line for line in list_entries(text)]


def _system(universe: Universe, task: str) -> str:
    """The same for all requests of a stage, so that a service keeps it in its cache."""
    return f"{A_WORLD}\n{as_material(description=universe.universe_context)}\n\n{task}"


def _listed(known: list[str]) -> str:
    return "\n".join(f"- {one}" for one in known) or NONE


def _as_list(tag: str) -> str:
    return f"between <{tag}> and </{tag}>, each on a line of its own that begins with a dash"
