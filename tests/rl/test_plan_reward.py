"""The reward ``plan`` on plans that are right by construction, and with faults made by hand."""

import random
from dataclasses import replace

import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.plans import Plan
from glm_core.posters import (
    CELL_CODES,
    allowed_boxes,
    caption,
    cell_codes,
    empty_code,
    item_cells,
)
from glm_core.rl.posters import PLANNER_POSTERS, decoder_source, planner_source, poster_task
from glm_core.rl.rewards import PlanReward, Sample, Score
from tests.support.posters import BOX, CROSS, SIGN

TASK = poster_task(SIGN, "free", caption(SIGN))


def score(codes: list[list[int]], task=TASK) -> Score:
    (result,) = PlanReward()([Sample(task, Plan(torch.tensor([codes])))])
    return result


def with_code(name: tuple[str, ...], row: int, column: int) -> list[list[int]]:
    codes = cell_codes(SIGN)
    codes[row][column] = CELL_CODES[name]
    return codes


@pytest.mark.parametrize("kind", PLANNER_POSTERS)
def test_plans_of_their_own_poster_are_worth_1_whether_or_not_they_have_pairs(kind):
    for seed in range(20):
        task = planner_source([kind]).draw(random.Random(seed), 1)[0]
        for codes in (task.plan.ids[0].tolist(), cell_codes(task.poster)):
            result = score(codes, task)
            assert result.value == 1 and set(result.parts) == {1}
            for i, item in enumerate(task.poster.items):
                assert {tuple(cell) for cell in (result.part_of_cell == i).nonzero().tolist()} == set(item_cells(item))


def test_plans_of_edits_are_worth_1():
    tasks = planner_source(["edits"]).draw(random.Random(0), 40)
    assert {score(task.plan.ids[0].tolist(), task).value for task in tasks} == {1}


def test_an_item_in_another_allowed_box_is_right_and_its_cells_are_there():
    other = next(replace(BOX, box=box) for box in allowed_boxes(BOX) if box.left == 16 and box.top == 0)
    result = score(cell_codes(replace(SIGN, items=(other, CROSS))))
    assert result.value == 1
    assert (result.part_of_cell == 0).nonzero().tolist() == [list(cell) for cell in item_cells(other)]


def test_a_wrong_letter_costs_its_word_alone_whose_cells_are_where_most_letters_are():
    result = score(with_code(("letter", "Q", "red", "small", "x1", "y1"), 1, 2))
    assert result.parts == (0, 1) and result.value == pytest.approx(2 / 3)
    assert (result.part_of_cell == 0).nonzero().tolist() == [[1, 0], [1, 1], [1, 2]]


def test_a_stray_code_costs_the_background_alone():
    result = score(with_code(("shape", "circle", "red", "small", "x1", "y1"), 5, 0))
    assert result.parts == (1, 1) and result.value == pytest.approx(2 / 3)
    assert result.part_of_cell[5, 0] == -1


def test_a_stray_letter_beside_a_word_costs_the_word_and_the_background():
    result = score(with_code(("letter", "Q", "red", "small", "x1", "y1"), 1, 3))
    assert result.parts == (0, 1) and result.value == pytest.approx(1 / 3)


def test_of_an_empty_plan_only_the_background_is_right():
    result = score([[empty_code(SIGN)] * 8] * 8)
    assert result.parts == (0, 0) and result.value == pytest.approx(1 / 3)


def test_a_plan_of_another_background_has_no_clean_one():
    assert score(cell_codes(replace(SIGN, background="pink"))).value == pytest.approx(2 / 3)


@pytest.mark.parametrize("task", [replace(TASK, poster=None), decoder_source().draw(random.Random(0), 1)[0]],
                         ids=["no poster", "no zones"])
def test_a_task_that_no_caption_describes_is_refused_by_name(task):
    with pytest.raises(GLMImageError, match="reward plan needs tasks"):
        score(cell_codes(SIGN), task)
