"""How the calls of a run become task runs that are told apart on its page."""

import gc

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Cancelling, Running

from flows.judging import by_judge, cancellation, part_of, rare_garbage_collection
from tasks.judging.asking import Chunk, to_calls
from tasks.judging.cases import plan
from tests.fakes.nouns import CLAUDE, an_eval, responses

TONE = CLAUDE.model_copy(update={"name": "tone", "model": "claude-other", "reads": "response"})


def test_the_calls_of_a_judge_stand_together_and_a_task_run_is_named_by_its_judges():
    one, other = an_eval(CLAUDE, TONE), an_eval(CLAUDE, TONE).model_copy(update={"name": "f"})
    answers = [row.model_copy(update={"eval": name}) for name in "ef" for row in responses(f"{name}1", f"{name}2")]
    calls = to_calls(plan([one, other], answers, answers, 2))
    assert [call.judge.name for call in calls] != [call.judge.name for call in by_judge(calls)]
    names = [call.judge.name for call in by_judge(calls)]
    assert names == sorted(names)
    assert sorted(call.call.key for call in by_judge(calls)) == sorted(call.call.key for call in calls)
    chunk = Chunk(1, by_judge(calls), None, lambda: None, frozenset(), "fine-tuned answers")  # type: ignore[arg-type] # it asks nothing
    assert chunk.judges == "claude (claude-sonnet-4-6), tone (claude-other)"
    assert (chunk.first, chunk.last, chunk.about) == (1, len(calls), "fine-tuned answers")


def test_runs_that_judge_at_once_leave_the_search_for_garbage_as_it_was():
    before = gc.get_threshold()
    one, other = rare_garbage_collection(), rare_garbage_collection()
    one.__enter__()
    other.__enter__()
    assert gc.get_threshold() != before
    one.__exit__(None, None, None)
    other.__exit__(None, None, None)
    assert gc.get_threshold() == before


async def test_who_cancels_a_study_cancels_what_its_cells_wait_for(prefect_server):
    @flow
    async def cell():
        return await cancellation()()

    async with get_client() as client:
        study = await client.create_flow_run(cell, state=Running())
        part_of.set(str(study.id))
        assert not await cell()
        await client.set_flow_run_state(study.id, Cancelling(), force=True)
        assert await cell()
