import numpy as np
import pytest
import torch

from glm_core.plans import Draft, Drawn, Edited, Look, Plan, Read, draw_plan
from glm_core.plans.card import GRID_SIDE, MARGIN, MOST_LINES, NARROWEST, details_of, draw_card, shorten

DRAWN = Drawn("a sign", 7, (96, 64))


def plan_from(origin=None, rows: int = 2, columns: int = 3) -> Plan:
    return Plan(torch.arange(rows * columns).view(1, rows, columns), origins=(origin,) if origin else ())


@pytest.mark.parametrize("origin, expected", [
    (DRAWN, "96 x 64 pixels, 3 x 2 tokens, seed 7"), (None, "96 x 64 pixels, 3 x 2 tokens"),
    (Read((100, 70)), "96 x 64 pixels, 3 x 2 tokens, read from an image of 100 x 70 pixels"),
    (Draft("a", 7, (192, 128)), "96 x 64 pixels, 3 x 2 tokens, draft of an image of 192 x 128 pixels, seed 7"),
    (Edited("crop", (DRAWN,)), "96 x 64 pixels, 3 x 2 tokens, edited (crop)"),
])
def test_a_plan_says_what_it_is(origin, expected):
    assert details_of(plan_from(origin), origin) == expected
    draw_card(plan_from(origin))


def test_the_grids_are_in_the_picture():
    plan = Plan(torch.arange(64).view(1, 8, 8), torch.arange(16).view(1, 4, 4))
    palette = torch.rand(64, 3)
    card = np.asarray(draw_card(plan, palette))
    grids = (draw_plan(plan, Look("both", GRID_SIDE // 8, marks="lines"), palette)[0] * 255).round().byte().numpy()
    assert np.array_equal(card[MARGIN : MARGIN + grids.shape[0], MARGIN : MARGIN + grids.shape[1]], grids)


@pytest.mark.parametrize("prompt", ["", "a", "a sign " * 200, "写着“春天”的海报。" * 20, "\U0001f600\ud800\0 x",
                                    "M" * 3000])
def test_any_prompt_fits(prompt):
    plain, card = draw_card(plan_from()), draw_card(plan_from(Drawn(prompt, 7, (96, 64))))
    assert card.width == plain.width == NARROWEST + 2 * MARGIN
    assert plain.height <= card.height < plain.height + 200
    assert (np.asarray(card)[:, -MARGIN // 2 :] == np.asarray(card)[0, 0]).all(), "nothing is written on the margin"


def test_prompts_of_all_plans_that_it_is_made_of_are_shown():
    heights = [draw_card(plan_from(Edited("compose", tuple(Drawn(prompt, 7, (96, 64)) for prompt in prompts)))).height
               for prompts in (("one",), ("one", "two"))]
    assert heights[0] < heights[1]


def test_long_prompts_end_in_an_ellipsis():
    lines = [f"a line, {i}" for i in range(MOST_LINES)]
    assert shorten(lines) == lines and shorten([]) == []
    assert shorten([*lines, "more"]) == [*lines[:-1], "a line …"]


@pytest.mark.parametrize("rows, columns", [(1, 1), (128, 128), (1, 128), (128, 1)])
def test_every_size_fits(rows, columns):
    card = draw_card(plan_from(DRAWN, rows, columns))
    assert NARROWEST <= card.width <= NARROWEST + 2 * MARGIN and card.height <= GRID_SIDE + 150


@pytest.mark.parametrize("origin", [
    Edited("x" * 100_000), Edited("x " * 50_000),
    Edited("join", tuple(Drawn(f"{i} {'sign ' * 120}", i, (96, 64)) for i in range(5000))),
])
def test_an_origin_of_any_length_fits(origin):
    """A file says what it likes; without a limit these took minutes."""
    assert draw_card(plan_from(origin)).height < draw_card(plan_from()).height + 400
