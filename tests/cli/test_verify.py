from flows.cli.verify import show_checks


def test_a_run_that_holds_is_said_to(reported_run, capsys):
    assert show_checks(reported_run)
    assert "checks hold: the report follows from the run's rows." in capsys.readouterr().out


def test_what_does_not_hold_is_said_with_its_remedy(reported_run, capsys):
    reported_run.results.unlink()
    assert not show_checks(reported_run)
    said = capsys.readouterr().out
    assert "✗ results.md: is not there, and should be" in said
    assert "makes the rest anew" in said
