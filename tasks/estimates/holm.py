"""Holm's method: p values that hold for a whole table of effects."""

from typing import TypeVar

from tasks.schema import Effect

AnyEffect = TypeVar("AnyEffect", bound=Effect)


def adjusted(effects: list[AnyEffect]) -> list[AnyEffect]:
    """The effects with Holm's p beside each p: one family for fixed questions, one for new ones.

    Single questions get none, and what has no p (drift) is no member of a family.

    The k-th smallest of m p is multiplied by m - k + 1 and is no less than the one before it (S. Holm, Scandinavian
    Journal of Statistics 6, 1979). Holds whatever the dependence, which matters here: measures read the same answers.
    """
    found = list(effects)
    for name in ("p_fixed_questions", "p_new_questions"):
        places = [n for n, e in enumerate(found) if not e.is_of_question and getattr(e, name) is not None]
        for n, p in zip(places, _holm([getattr(found[n], name) for n in places]), strict=True):
            found[n] = found[n].model_copy(update={f"{name}_holm": p})
    return found


def _holm(ps: list[float]) -> list[float]:
    """The adjusted p, in the order of the given ones."""
    found, largest = list(ps), 0.0
    for rank, n in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[n]))
        found[n] = largest
    return found
