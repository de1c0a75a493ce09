"""What a set will take, counted beforehand and held against what is then asked."""

import shutil

from tasks.definitions import load_eval
from tasks.generation.chats import KEPT, ChatMaker
from tasks.generation.costs import REWRITTEN, plan_chats, plan_documents, whole_cost
from tasks.generation.traits import to_trait
from tasks.generation.universe_evals import universe_evals
from tasks.schema import GeneratedSet, Writer
from tests.conftest import PROJECT
from tests.fakes.author import Author, a_set, a_universe
from tests.fakes.chat_writer import ChatWriter, score


def calls(steps):
    return {step.name: step.calls for step in steps}


def formal(**given):
    return GeneratedSet(**{"name": "formal", "trait": "formality", "documents": 40, **given})


async def test_the_evals_of_a_universe_are_priced_by_the_requests_that_are_then_made():
    author, universe = Author(), a_universe()
    await universe_evals(universe, author.ask, print)
    planned = calls(plan_documents(a_set(), universe))
    assert planned["statements"] + planned["questions"] == len(author.asked)
    assert "statements" not in calls(plan_documents(a_set(evals=False), universe))


async def test_of_the_prompts_of_chats_a_share_is_expected_to_be_dropped_and_no_more_is_asked_where_fewer_are():
    trait = to_trait(load_eval("traits/formality"))
    planned = calls(plan_chats(formal(), trait))
    tried = 40 / KEPT
    assert planned == {
        "prompts": tried / 10,
        "answers": 2 * tried,
        "lengths": tried * REWRITTEN,
        "judge formality": 2 * tried,
    }
    writer = ChatWriter()
    maker = ChatMaker(formal(), trait, writer, score)
    while not maker.is_done:
        await maker.write_round()
    assert 2 * 40 <= writer.new <= sum(planned.values()) - planned["judge formality"]


def test_a_teacher_is_priced_apart_and_nobody_judges():
    trait = to_trait(load_eval("traits/formality"))
    steps = plan_chats(formal(teacher=Writer(system_prompt="You love owls.")), trait)
    assert calls(steps) == {"prompts": 5, "answers": 45}
    assert calls(plan_chats(formal(directions=["neutral"]), trait))["answers"] == 3 * 80


async def test_no_more_prompts_are_answered_than_are_expected_though_a_request_brings_many_more():
    trait = to_trait(load_eval("traits/formality"))
    wanted, writer = formal(documents=10, ideas_per_type=200, when="cooking"), ChatWriter()
    maker = ChatMaker(wanted, trait, writer, score)
    while not maker.is_done:
        await maker.write_round()
    answers = [request for request in writer.store if request.tag == "answer"]
    assert len(answers) == calls(plan_chats(wanted, trait))["answers"] == 40


def test_a_judge_who_is_asked_in_batches_costs_half(data):
    shutil.copy(PROJECT / "data" / "prices.yaml", data)
    trait = to_trait(load_eval("traits/formality"))
    direct, batch = (
        plan_chats(formal(writer=Writer(batch=batch)), trait)[-1].cost.expected or 0 for batch in (False, True)
    )
    assert 0 < batch == direct / 2


def test_the_cost_of_all_is_that_of_its_stages_and_unknown_where_that_of_one_is(data):
    shutil.copy(PROJECT / "data" / "prices.yaml", data)
    trait = to_trait(load_eval("traits/formality"))
    steps = plan_chats(formal(), trait)
    whole = whole_cost(steps)
    assert whole.expected is not None
    assert 0 < whole.expected < (whole.most or 0)
    unknown = plan_chats(formal(writer=Writer(model="nobody-prices-it")), trait)
    assert whole_cost(unknown).expected is None
