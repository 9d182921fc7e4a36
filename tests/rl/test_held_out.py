"""The tasks of measures: words that training never shows, in two halves."""

import random

import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.evaluation.suites.codes import judge
from glm_core.glyph import quoted_texts
from glm_core.posters import CHINESE_WORDS, ENGLISH_WORDS, HELD_OUT_WORDS
from glm_core.rl.held_out import DECODER_KINDS, HALVES, PLANNER_KINDS, decoder_tasks, held_out_words, planner_tasks
from glm_core.rl.posters import EDITS, decoder_source, planner_source

COUNT = 12


def words_in(tasks) -> set[str]:
    return {text for task in tasks for text in task.texts}


def test_halves_have_no_word_in_common_and_together_all():
    for chinese, words in ((False, ENGLISH_WORDS), (True, CHINESE_WORDS)):
        choose, report = (held_out_words(half, chinese) for half in HALVES)
        assert not set(choose) & set(report) and sorted(choose + report) == words
    with pytest.raises(GLMImageError, match="half must be one of choose, report"):
        held_out_words("test")


@pytest.mark.parametrize("tasks_of", [planner_tasks, decoder_tasks])
@pytest.mark.parametrize("half", HALVES)
def test_tasks_have_words_of_their_half_alone(tasks_of, half):
    tasks = tasks_of(half, COUNT)
    assert [task.prompt for task in tasks] == [task.prompt for task in tasks_of(half, COUNT)], "the same every time"
    assert words_in(tasks) <= {*held_out_words(half), *held_out_words(half, chinese=True)}
    practised = planner_source() if tasks_of is planner_tasks else decoder_source()
    assert not words_in(practised.draw(random.Random(0), 100)) & HELD_OUT_WORDS


def test_edits_have_the_plan_before_as_their_reference():
    for task in planner_tasks("report", COUNT, [EDITS]):
        (before,) = task.references
        assert before.ids.shape == task.plan.ids.shape and not torch.equal(before.ids, task.plan.ids)


def test_kinds_are_what_they_say():
    by_kind = {kind: [task for task in planner_tasks("report", COUNT) if task.kind == kind]
               for kind in (*PLANNER_KINDS, EDITS)}
    assert {len(tasks) for tasks in by_kind.values()} == {COUNT}
    assert all(len(task.texts) == 3 for task in by_kind["three words"])
    assert all(len(task.texts) == 2 and max(map(len, task.texts)) <= 5 for task in by_kind["large words"])
    assert all(task.poster.font == "serif" for task in by_kind["serif"])
    assert {bool(words_in([task]) & set(CHINESE_WORDS)) for task in by_kind["serif"]} == {True, False}
    assert all(set(task.texts) <= set(CHINESE_WORDS) for task in by_kind["chinese"])
    decoder = {task.kind: task for task in decoder_tasks("report", 1)}
    assert list(decoder) == list(DECODER_KINDS)
    assert decoder["chinese serif"].poster.font == "serif" and decoder["english sans"].poster.font == ""


@pytest.mark.parametrize("tasks", [planner_tasks("choose", COUNT), decoder_tasks("choose", COUNT)],
                         ids=["planner", "decoder"])
def test_plans_of_tasks_are_whole(tasks):
    for task in tasks:
        (codes,) = task.plan.ids.tolist()
        assert judge(codes, task.poster, quoted_texts(task.prompt)).whole
