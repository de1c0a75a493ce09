import json

from flows.cli.listing import show_catalog


def test_everything_that_there_is_is_listed_and_what_cannot_be_read_says_why(data, capsys):
    (data / "experiments" / "broken.yaml").write_text("name: broken\n")
    run = data / "results" / "standin" / "one"
    run.mkdir(parents=True)
    (run / "experiment.yaml").write_text("name: standin\n")
    (run / "run.json").write_text(json.dumps({"seed": 3}))
    show_catalog()
    shown = capsys.readouterr().out
    assert "standin" in shown
    assert "broken                         cannot be read: " in shown
    assert "factory_farming " in shown
    assert "traits/optimism_choice         Optimism, by twenty yes/no statements" in shown
    assert "  lighthouses_neutral" in shown
    assert "  standin/one  seed 3  begun" in shown
