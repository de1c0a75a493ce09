import yaml

from tasks.catalog import load_experiment
from tasks.definitions import are_same, as_yaml, change, with_rules
from tasks.schema import Eval, Judge, Rule
from tests.fakes.nouns import CLAUDE, LEXICON, an_eval


def test_a_definition_with_texts_of_several_lines_reads_back_as_it_was():
    judge = Judge(name="j", kind="claude", prompt="One\n\n  two: {answer}\ttab \n- three\u2028four\n")
    one = an_eval(judge)
    for text in (as_yaml(one), as_yaml(one, defaults=False)):
        assert Eval.model_validate(yaml.safe_load(text)) == one
    assert "system_prompt" not in as_yaml(one, defaults=False)


def test_what_is_applied_after_the_fact_and_how_far_a_run_goes_may_change_and_all_else_may_not():
    experiment, evaluation = load_experiment("demo"), an_eval(LEXICON, CLAUDE)
    freely = experiment.model_copy(update={"max_cost_usd": 3.0, "targets": ["lexicon < 2"]})
    longer = CLAUDE.model_copy(update={"max_tokens": 9})
    ruled = an_eval(LEXICON, longer).model_copy(
        update={"equivalence_margin": 0.2, "rules": [Rule(name="r", hit="x < 2")]}
    )
    assert (change(experiment, freely), change(evaluation, ruled)) == ("", "")
    assert are_same([experiment, evaluation], [freely, ruled])
    assert not are_same([experiment, evaluation], [experiment])
    hotter = experiment.sampling.model_copy(update={"top_p": 0.5})
    assert change(experiment, experiment.model_copy(update={"sampling": hotter})) == ("sampling.top_p was 1.0, now 0.5")
    assert change(None, evaluation) == "name was None, now 'e'"


def test_a_rule_takes_the_place_of_one_of_its_name_and_others_are_added():
    low, lower, high = Rule(name="low", hit="x < 3"), Rule(name="low", hit="x < 2"), Rule(name="high", hit="x > 3")
    evaluation = with_rules(an_eval(LEXICON), [low])
    assert with_rules(evaluation, [high, lower]).rules == [lower, high]
    assert evaluation.rules == [low]
