"""The rows of a table of effects that a chart shows; the columns are those of schema's Effect, or Compared."""

from collections.abc import Sequence

import polars

from tasks.schema import ALL, SLOPE

MODELS = {"baseline": "baseline", "fine-tuned": "finetuned"}
"""What each model is called in a chart, and what its columns begin or end with."""
SHARED = ("eval", "measure", "tier", "question_id", "scale_min", "scale_max")
"""Columns that say the same of both models."""


def final(effects: polars.DataFrame) -> polars.DataFrame:
    """Those of the model after its whole training."""
    return effects.filter(trained_share=1.0)


def of_tiers(effects: polars.DataFrame) -> polars.DataFrame:
    """Those of tiers, not of single questions."""
    return effects.filter(question_id="")


def of_questions(effects: polars.DataFrame) -> polars.DataFrame:
    """Those of single questions."""
    return effects.filter(polars.col("question_id") != "")


def without_slope(effects: polars.DataFrame) -> polars.DataFrame:
    """The effects that are differences: a slope is a difference by tier and has no place on their axis."""
    return effects.filter(polars.col("tier") != SLOPE)


def with_interval(effects: polars.DataFrame) -> polars.DataFrame:
    """With two more columns, low and high: the interval for these questions, or where there is none, for new ones."""
    ends = {
        end: (polars.col(f"ci_{end}_fixed_questions"), polars.col(f"ci_{end}_new_questions")) for end in ("low", "high")
    }
    return effects.with_columns(**{end: polars.coalesce(*columns) for end, columns in ends.items()})


def overall(effects: polars.DataFrame) -> polars.DataFrame:
    """The effects over all questions: those of the tier `all`, or of the only tier."""
    tiers = of_tiers(effects)
    known = [name for name in ("label", "eval", "measure", "trained_share") if name in tiers.columns]
    of_several_tiers = tiers.filter(tier=ALL)
    return polars.concat([of_several_tiers, tiers.join(of_several_tiers.select(known), on=known, how="anti")])


def by_model(effects: polars.DataFrame, shared: Sequence[str] = SHARED) -> polars.DataFrame:
    """A row for each model instead of one for both.

    Columns: the shared ones, model, mean, low and high (its interval), scored (how many answers).
    """
    sides = [
        effects.select(
            *shared,
            polars.lit(model).alias("model"),
            polars.col(side).alias("mean"),
            polars.col(f"{side}_low").alias("low"),
            polars.col(f"{side}_high").alias("high"),
            polars.col(f"scored_{side}").alias("scored"),
        )
        for model, side in MODELS.items()
    ]
    return polars.concat(sides)
