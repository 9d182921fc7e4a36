"""Serifs of Chinese letters are seen in letters to which nothing was fitted."""

import math
from dataclasses import replace

import pytest
import torch

from glm_core.evaluation.suites.drawn import FACES, letter_masks, to_pixels
from glm_core.evaluation.suites.serifs import moved, serif_judge, serifs, spoiled
from glm_core.posters import draw_poster
from glm_core.posters.words import CHINESE
from tests.support.posters import CHINESE_SIGN, TEA, needs_chinese_fonts

pytestmark = needs_chinese_fonts
UNSEEN = CHINESE[1::2]
COPIES = 20


def accuracy(change, pitch: int) -> float:
    """Share of changed letters, half of them with serifs, that are judged right."""
    masks = letter_masks(CHINESE, pitch).view(len(FACES), len(CHINESE), pitch, pitch)[:, 1::2]
    squares = change(masks.repeat(COPIES, 1, 1, 1).flatten(0, 1), torch.Generator().manual_seed(1))
    wanted = torch.tensor([False, True]).repeat_interleave(len(UNSEEN)).repeat(COPIES)
    found = serif_judge(pitch)(squares, UNSEEN * len(FACES) * COPIES) > 0
    return float((found == wanted).float().mean())


@pytest.mark.parametrize("pitch", [32, 48])
def test_nearly_all_letters_are_judged_right_wherever_they_stand(pitch):
    assert accuracy(moved, pitch) > 0.98


@pytest.mark.parametrize("pitch", [32, 48])
def test_most_blurred_faded_and_noisy_letters_are_judged_right(pitch):
    assert accuracy(spoiled, pitch) > 0.85


@pytest.mark.parametrize("colour, background", [("red", "white"), ("white", "black"), ("yellow", "blue")])
def test_colours_do_not_matter(colour, background):
    word = replace(TEA, colour=colour)
    for face in FACES:
        poster = replace(CHINESE_SIGN, items=(word,), background=background, font=face)
        found = serifs(to_pixels(draw_poster(poster)), word, background)
        assert [value > 0 for value in found] == [bool(face)] * 2


def test_where_no_letter_is_there_are_neither_serifs_nor_none():
    found = serifs(to_pixels(draw_poster(replace(CHINESE_SIGN, items=()))), TEA, CHINESE_SIGN.background)
    assert len(found) == 2 and all(map(math.isnan, found))
