"""What the page shows of a plan under the mouse."""

import json
from math import log

import pytest
import torch

from glm_core.plans import DROPPED, Look, Plan, draw_panels, draw_plan, token_table

IDS = torch.tensor([[[5, 6, 7], [8, 9, DROPPED]]])
COARSE = torch.tensor([[[1, 2]]])
PROBABILITIES = [0.5, 0.25, 1.0, 0.123456, 1e-6, 0.1, 0.2, 0.3]  # of the coarse grid, then of the target


def make_plan(coarse: bool = True) -> Plan:
    log_probs = torch.tensor([[log(value) for value in PROBABILITIES]])
    return Plan(IDS, COARSE, log_probs=log_probs) if coarse else Plan(IDS)


def table_of(plan: Plan, look: Look) -> dict:
    return token_table(plan, *draw_panels(plan, look))


def test_ids_and_probabilities_of_both_grids():
    table = table_of(make_plan(), Look("both", cell=4))
    assert [grid["name"] for grid in table["grids"]] == ["preview", "target"]
    assert [(grid["rows"], grid["columns"]) for grid in table["grids"]] == [(1, 2), (2, 3)]
    assert [grid["ids"] for grid in table["grids"]] == [[[1, 2]], [[5, 6, 7, 8, 9, DROPPED]]]
    assert [grid["percents"] for grid in table["grids"]] == [[[50, 25]], [[100, 12.35, 0, 10, 20, 30]]]


def test_without_probabilities():
    assert table_of(make_plan(coarse=False), Look())["grids"][0]["percents"] is None


def test_certainty_is_not_more_than_a_hundred():
    plan = Plan(IDS, log_probs=torch.full((1, 6), 5e-4))
    assert table_of(plan, Look())["grids"][0]["percents"] == [[100] * 6]


def test_one_list_for_each_item():
    plan = Plan(torch.arange(12).view(2, 2, 3))
    assert table_of(plan, Look())["grids"][0]["ids"] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_it_is_short_as_json():
    plan = Plan(torch.full((1, 128, 128), 16383), log_probs=torch.full((1, 128 * 128), -2.5))
    assert len(json.dumps(table_of(plan, Look(cell=1)), separators=(",", ":"))) < 200_000


@pytest.mark.parametrize("marks", ["none", "lines", "lines and numbers"])
@pytest.mark.parametrize("show", ["tokens", "confidence"])
@pytest.mark.parametrize("grid", ["target", "preview", "both"])
def test_boxes_are_where_the_squares_are(grid, show, marks):
    """Every token's own colour is in the middle of its place in the box."""
    plan, look = make_plan(), Look(grid, 9, show, marks)
    picture, panels = draw_panels(plan, look)
    assert torch.equal(picture, draw_plan(plan, look))
    for panel in panels:
        alone = draw_plan(plan, Look(panel.grid, 9, show))[0]
        left, top, width, height = panel.box
        rows, columns = plan.grid(panel.grid).shape[1:]
        assert (height, round(width / height, 1)) == (plan.grid(panels[-1].grid).shape[1] * 9, round(columns / rows, 1))
        for row in range(rows):
            for column in range(columns):
                shown = picture[0, top + int((row + 0.5) * height / rows), left + int((column + 0.5) * width / columns)]
                assert torch.equal(shown, alone[row * 9 + 4, column * 9 + 4])


def test_size_is_that_of_the_picture():
    picture, panels = draw_panels(make_plan(), Look("both", 9, "confidence", "lines and numbers"))
    assert token_table(make_plan(), picture, panels)["size"] == [picture.shape[2], picture.shape[1]]


def test_json_never_gets_nan():
    """A page cannot read it."""
    plan = Plan(torch.zeros(1, 1, 2, dtype=torch.int64), log_probs=torch.tensor([[float("nan"), -1.0]]))
    assert table_of(plan, Look())["grids"][0]["percents"] is None
