import pytest
import torch

from glm_core.fonts import caption_font
from glm_core.plans.rulers import FONT_SIZE, PERCENTS, numbers, scale_labels


@pytest.mark.parametrize("count, cell, room, expected", [
    (4, 20, 16, ["0", "1", "2", "3"]), (4, 10, 16, ["0", "2"]), (12, 4, 16, ["0", "5"]), (14, 4, 16, ["0", "5", "10"]),
    (30, 1, 16, ["0", "20"]), (1, 1, 16, ["0"]), (300, 1, 400, ["0"]),
])
def test_only_as_many_cells_are_numbered_as_fit(count, cell, room, expected):
    edges = torch.arange(count + 1) * cell
    assert [text for _, text in numbers(edges, room)] == expected


def test_numbers_stand_in_the_middle_of_their_cells():
    assert numbers(torch.tensor([0, 20, 40]), 16) == [(10.0, "0"), (30.0, "1")]


def test_a_number_that_would_be_cut_off_is_left_out():
    assert numbers(torch.tensor([0, 12, 24, 36]), 16) == [(6.0, "0")]


@pytest.mark.parametrize("bar, expected", [(240, PERCENTS), (100, (PERCENTS[0], PERCENTS[-1])), (40, ())])
def test_a_short_scale_has_fewer_labels(bar, expected):
    assert tuple(text for *_, text in scale_labels(bar, caption_font([], FONT_SIZE))) == expected
