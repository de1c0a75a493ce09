"""The judgments of a run as one table: a row for each judge and answer.

    judgments = scan_judgments(run.judged)
    final = at_checkpoint(judgments, evaluation, trained_share=1.0)

Its columns are those of an AnswerKey, which say what answer was judged, and then judge, score (null: none was given),
label (empty: none), model and rubric.
"""

from pathlib import Path

import polars

from tasks.files import read_once
from tasks.schema import AnswerKey, Eval, Judgment

ANSWER = list(AnswerKey._fields)
"""The columns that say which answer of a run a row is about."""
COLUMNS = {
    "eval": polars.String,
    "question_id": polars.String,
    "side": polars.String,
    "sample": polars.Int64,
    "trained_share": polars.Float64,
    "judge": polars.String,
    "score": polars.Float64,
    "label": polars.String,
    "model": polars.String,
    "rubric": polars.String,
}


def judgments_frame(judgments: list[Judgment]) -> polars.DataFrame:
    """The table of judgments that are in memory already; its columns are COLUMNS."""
    rows = [(*j.answer_key, j.judge, j.score, j.label, j.model, j.rubric) for j in judgments]
    return polars.DataFrame(rows, schema=COLUMNS, orient="row")


def scan_judgments(judged: Path) -> polars.DataFrame:
    """The same from judged.jsonl, read once, without a noun of each row: a million of them take about a second."""
    return read_once(judged, polars.DataFrame, lambda: _scan(judged))


def _scan(judged: Path) -> polars.DataFrame:
    if judged.stat().st_size == 0:
        return judgments_frame([])
    frame = polars.read_ndjson(judged, schema=COLUMNS)
    # The rows of older runs lack these two.
    return frame.with_columns(polars.col("trained_share").fill_null(1.0), polars.col("label").fill_null(""))


def at_checkpoint(judgments: polars.DataFrame, evaluation: Eval, trained_share: float) -> polars.DataFrame:
    """The rows of one eval: those on the baseline, and on the model after this share of its training."""
    is_baseline = polars.col("side") == "baseline"
    return judgments.filter(
        polars.col("eval") == evaluation.name, is_baseline | (polars.col("trained_share") == trained_share)
    )
