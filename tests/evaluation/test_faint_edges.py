"""Faint edges are those that a picture adds where its poster is flat."""

import random

import pytest
import torch

from glm_core.evaluation.suites.drawn import to_pixels
from glm_core.evaluation.suites.faint_edges import faint_edges
from glm_core.posters import draw_poster, random_poster
from tests.support.posters import SIGN, with_grid

DRAWN = to_pixels(draw_poster(SIGN))


@pytest.mark.parametrize("seed", range(5))
def test_drawn_posters_have_none(seed):
    pixels = to_pixels(draw_poster(random_poster(random.Random(seed))))
    faint, flat = faint_edges(pixels, pixels)
    assert faint == 0 and flat > 10000


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("pitch", [8, 16, 32])
def test_a_grid_adds_the_pixels_on_both_sides_of_its_lines(levels, pitch):
    pixels = to_pixels(with_grid(draw_poster(SIGN), levels, pitch))
    faint, flat = faint_edges(pixels, DRAWN)
    assert faint / flat == pytest.approx(1 - (1 - 2 / pitch) ** 2, abs=0.04)


def test_letters_are_no_faint_edges_even_where_they_are_a_little_off():
    shifted = DRAWN.roll(2, 1)
    assert faint_edges(shifted, DRAWN).faint == 0


def test_rounding_of_one_channel_is_no_edge_but_two_are():
    for channels, is_seen in ((1, False), (2, True), (3, True)):
        pixels = DRAWN.clone()
        pixels[100:140, 100:, :channels] -= 1 / 255
        assert bool(faint_edges(pixels, DRAWN).faint) == is_seen


def test_new_items_are_strong_edges_but_a_veil_is_not():
    pixels = DRAWN.clone()
    pixels[100:140, 100:140] = torch.tensor([0.0, 0.0, 0.0])
    assert faint_edges(pixels, DRAWN).faint == 0
    pixels[100:140, 100:140] = DRAWN[100:140, 100:140] - 10 / 255
    assert faint_edges(pixels, DRAWN).faint > 100
