from dataclasses import replace

import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.plans import DROPPED, Look, Plan, colours, draw_grid, draw_plan
from glm_core.plans.draw import GAP
from glm_core.plans.palette import HEAT, heat_colours
from glm_core.plans.rulers import FRAME, LINE

IDS = torch.arange(12).view(2, 2, 3)
COARSE = 20 + torch.arange(4).view(2, 1, 2)


@pytest.fixture
def plan():
    return Plan(IDS, COARSE, log_probs=-torch.arange(16.0).view(2, 8) / 3)


def test_a_token_is_a_square_and_a_missing_one_is_black():
    image = draw_grid(torch.tensor([[[3, DROPPED], [3, 4]]]), 5)
    assert image.shape == (1, 10, 10, 3)
    assert image[0, :5, 5:].max() == 0 and torch.equal(image[0, 0, 0], image[0, 9, 0])


@pytest.mark.parametrize("grid, ids", [("target", IDS), ("preview", COARSE)])
def test_a_plan_is_drawn_like_its_grid(plan, grid, ids):
    assert torch.equal(draw_plan(plan, Look(grid, 5)), draw_grid(ids, 5))
    palette = torch.rand(24, 3)
    assert torch.equal(draw_plan(plan, Look(grid, 5), palette)[:, ::5, ::5], palette[ids])


def test_both_grids_have_one_height(plan):
    picture = draw_plan(plan, Look("both", 6))
    assert picture.shape == (2, 12, 24 + GAP + 18, 3)
    assert torch.equal(picture[:, :, -18:], draw_grid(IDS, 6))
    assert torch.equal(picture[:, :, :24], draw_grid(COARSE, 12))
    assert (picture[:, :, 24 : 24 + GAP] == FRAME).all()


def test_a_coarse_grid_that_does_not_divide_the_height_fills_it():
    plan = Plan(torch.arange(35).view(1, 7, 5), torch.arange(12).view(1, 4, 3))
    picture = draw_plan(plan, Look("both", 3))
    assert picture.shape[1] == 21
    shown = picture[0, :, 0].unique_consecutive(dim=0)
    assert torch.equal(shown, colours(plan.coarse[0, :, 0]))


def test_both_grids_of_a_plan_without_a_coarse_one_are_its_target(plan):
    alone = Plan(plan.ids)
    assert torch.equal(draw_plan(alone, Look("both", 4)), draw_plan(alone, Look("target", 4)))
    with pytest.raises(GLMImageError, match="no preview grid; choose grid = target"):
        draw_plan(alone, Look("preview", 4))


def test_lines_are_between_the_squares_and_keep_the_size(plan):
    plain, lined = (draw_plan(plan, Look(cell=8, marks=marks)) for marks in ("none", "lines"))
    is_line = torch.zeros(16, 24, dtype=torch.bool)
    is_line[8], is_line[:, 8], is_line[:, 16] = True, True, True
    assert (lined[:, is_line] == FRAME).all()
    assert torch.equal(lined[:, ~is_line], plain[:, ~is_line])


@pytest.mark.parametrize("marks", ["lines", "lines and numbers"])
def test_lines_that_would_hide_the_squares_are_left_out(plan, marks):
    plain, lined = (draw_plan(plan, Look(cell=3, marks=chosen)) for chosen in ("none", marks))
    assert torch.equal(lined[:, -6:, -9:], plain)


def test_numbers_stand_above_and_on_the_left(plan):
    lined, numbered = (draw_plan(plan, Look(cell=20, marks=marks)) for marks in ("lines", "lines and numbers"))
    assert torch.equal(numbered[:, -40:, -60:], lined)
    assert numbered.shape[1] == 40 + LINE
    top, side = numbered[0, :LINE], numbered[0, LINE:, :-60]
    assert (top > 0.5).any() and (side > 0.5).any()
    assert torch.equal(numbered[0, :LINE], numbered[1, :LINE])


def test_confidence_shows_the_probability_of_every_token(plan):
    assert torch.equal(draw_plan(plan, Look("preview", 1, "confidence")).view(2, 2, 3),
                       heat_colours(plan.log_probs[:, :2]))
    assert torch.equal(draw_plan(plan, Look("target", 1, "confidence")).view(2, 6, 3),
                       heat_colours(plan.log_probs[:, 2:]))
    both = draw_plan(plan, Look("both", 4, "confidence"))
    assert torch.equal(both[:, :4, -12:-8], heat_colours(plan.log_probs[:, 2])[:, None, None].expand(2, 4, 4, 3))


def test_confidence_of_a_plan_without_a_coarse_grid(plan):
    alone = replace(plan, coarse=None, log_probs=plan.log_probs[:, 2:])
    assert torch.equal(draw_plan(alone, Look(cell=1, show="confidence")).view(2, 6, 3),
                       heat_colours(alone.log_probs))


def test_confidence_with_numbers_has_its_scale(plan):
    tokens, heat = (draw_plan(plan, Look(cell=64, show=show, marks="lines and numbers"))
                    for show in ("tokens", "confidence"))
    assert heat.shape[1] > tokens.shape[1] and heat.shape[2] == tokens.shape[2]
    strip = heat[0, tokens.shape[1] :]
    assert all((strip == colour).all(-1).any() for colour in HEAT[[0, -1]])


def test_a_hole_is_black_whatever_is_shown(plan):
    plan.ids[0, 0, 0] = DROPPED
    for show in ("tokens", "confidence"):
        assert draw_plan(plan, Look(cell=4, show=show))[0, :4, :4].max() == 0
    assert draw_plan(plan, Look(cell=4), torch.rand(24, 3) + 0.1)[0, :4, :4].max() == 0


def test_confidence_of_a_plan_without_probabilities_is_refused(plan):
    with pytest.raises(GLMImageError, match="must have the probabilities of its tokens") as refused:
        draw_plan(Plan(plan.ids), Look(show="confidence"))
    assert "\n" not in str(refused.value)


def test_confidence_of_probabilities_that_are_none_is_refused(plan):
    plan.log_probs[1, -1] = float("nan")
    with pytest.raises(GLMImageError, match=r"probabilities of the plan's tokens must be numbers \(got 1 NaN"):
        draw_plan(plan, Look(show="confidence"))
    draw_plan(plan, Look())


@pytest.mark.parametrize("values, message", [
    ({"cell": 0}, r"cell must be from 1 to 64 \(got 0\)"), ({"cell": 65}, r"\(got 65\)"),
    ({"grid": "coarse"}, r"grid must be one of target, preview, both \(got 'coarse'\)"),
    ({"show": "ids"}, r"show must be one of tokens, confidence \(got 'ids'\)"),
    ({"marks": "all"}, r"marks must be one of none, lines, lines and numbers \(got 'all'\)"),
])
def test_other_looks_are_refused(values, message):
    with pytest.raises(GLMImageError, match=message):
        Look(**values)


@pytest.mark.parametrize("marks", ["none", "lines", "lines and numbers"])
@pytest.mark.parametrize("cell", [1, 2, 4, 64])
@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 40), (128, 1), (17, 31)])
def test_every_size_can_be_drawn(rows, columns, cell, marks):
    plan = Plan(torch.zeros(1, rows, columns, dtype=torch.int64), log_probs=torch.zeros(1, rows * columns))
    for show in ("tokens", "confidence"):
        picture = draw_plan(plan, Look(cell=cell, show=show, marks=marks))
        assert picture.shape[1] >= rows * cell and picture.shape[2] >= columns * cell
        assert picture.min() >= 0 and picture.max() <= 1
