import polars

from tasks.report.line_charts import over_doses, training_curve
from tests.fakes.two_judges import two_judge_effects


def test_doses_are_one_line_over_all_questions_with_its_band():
    doses = [
        two_judge_effects().with_columns(label=polars.lit(name), dose=n) for n, name in ((0.5, "half"), (1.0, "all"))
    ]
    drawn = over_doses(polars.concat(doses)).to_dict()
    (data,) = drawn["datasets"].values()
    assert [(row["measure"], row["tier"], row["dose"]) for row in data] == [
        (measure, "all", dose) for dose in (0.5, 1) for measure in ("coherent", "aligned")
    ]
    marks = [layer["mark"]["type"] for layer in drawn["vconcat"][0]["layer"]]
    assert marks == ["rule", "area", "line"]


def test_steps_are_whole():
    steps = training_curve([{"step": n, "loss": 1 / n} for n in (1, 2, 3)]).to_dict()
    axes = [layer["encoding"]["x"]["axis"] for layer in steps["layer"]]
    assert axes == [{"format": "d", "tickMinStep": 1}] * 2


def test_a_held_out_loss_beside_the_first_step_was_measured_before_it():
    rows = [{"step": 1, "loss": 2.5, "held_out_loss": 3.0}, {"step": 1, "held_out_loss": 2.0}]
    (data,) = training_curve(rows).to_dict()["datasets"].values()
    points = [(row["documents"], row["step"], row["loss"]) for row in data]
    assert points == [("trained on", 1, 2.5), ("held out", 0, 3.0), ("held out", 1, 2.0)]
