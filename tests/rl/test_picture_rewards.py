"""The rewards that look at pictures, on drawn posters with faults made by hand."""

import random
from dataclasses import replace

import pytest
import torch
from PIL import Image

from glm_core.errors import GLMImageError
from glm_core.evaluation.suites.drawn import letter_masks
from glm_core.plans import Plan
from glm_core.posters import ItemBox, draw, draw_poster, item_cells
from glm_core.posters.words import LETTERS
from glm_core.rl.posters import decoder_source
from glm_core.rl.rewards import LettersReward, LikelihoodReward, Sample, ShapesReward, TruthReward, WordsReward
from tests.support.ocr import needs_ocr
from tests.support.posters import (
    BOX,
    CHINESE_SIGN,
    SIGN,
    drawn,
    needs_chinese_fonts,
    sample,
    with_grid,
    with_item,
)

SERIF_SIGN = replace(SIGN, font="serif")
ON_POSTERS = [LettersReward(), TruthReward()]


def value(reward, one: Sample) -> float:
    return reward([one])[0].value


@pytest.mark.parametrize("poster", [SIGN, SERIF_SIGN])
def test_drawn_letters_have_the_whole_margin(poster):
    (score,) = LettersReward()([drawn(poster)])
    assert score.value == pytest.approx(1, abs=0.01) and score.parts == (pytest.approx(1, abs=0.01),)
    assert (score.part_of_cell == 0).nonzero().tolist() == [list(cell) for cell in item_cells(BOX)]
    assert (score.part_of_cell == -1).sum() == 61


@pytest.mark.parametrize("wanted, shown", [(SIGN, SERIF_SIGN), (SERIF_SIGN, SIGN)])
def test_letters_of_the_other_font_have_minus_the_whole_margin(wanted, shown):
    assert value(LettersReward(), drawn(wanted, shown)) == pytest.approx(-1, abs=0.01)


@needs_chinese_fonts
def test_chinese_letters_are_told_apart_by_letter_and_font():
    shown = {1: CHINESE_SIGN, 0: with_item(CHINESE_SIGN, 0, text="茶门"), -1: replace(CHINESE_SIGN, font="")}
    for margin, poster in shown.items():
        assert value(LettersReward(), drawn(CHINESE_SIGN, poster)) == pytest.approx(margin, abs=0.02)


def test_between_two_fonts_the_margin_grows_steadily():
    a, b = draw_poster(SIGN), draw_poster(SERIF_SIGN)
    values = [value(LettersReward(), sample(SERIF_SIGN, Image.blend(a, b, share))) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert values == sorted(values) and values[2] == pytest.approx(0, abs=0.02)


def test_letters_with_more_contrast_than_drawn_gain_nothing():
    picture = Image.blend(Image.new("RGB", (256, 256), "white"), draw_poster(SIGN), 1.3)
    assert value(LettersReward(), sample(SIGN, picture)) < value(LettersReward(), drawn(SIGN))


@pytest.mark.parametrize("letter", [letter for letter in LETTERS if letter not in "BOX"])
def test_one_wrong_letter_costs_two_thirds(letter):
    shown = with_item(SIGN, 0, text=f"{letter}OX")
    assert value(LettersReward(), drawn(SIGN, shown)) == pytest.approx(1 / 3, abs=0.02)


def test_letters_are_looked_for_where_the_plan_has_them():
    moved = with_item(SIGN, 0, box=ItemBox(16, 0, 32))
    own = sample(SIGN)
    elsewhere = Sample(own.task, sample(moved).plan, draw_poster(moved))
    assert value(LettersReward(), elsewhere) == pytest.approx(1, abs=0.01)
    assert value(LettersReward(), drawn(SIGN, moved)) < 0.2
    assert value(TruthReward(), elsewhere) == 0


@pytest.mark.parametrize("shown", [
    SERIF_SIGN, with_item(SIGN, 0, text="BOK"), with_item(SIGN, 0, box=ItemBox(16, 32, 32)),
    with_item(SIGN, 1, kind="circle"), with_item(SIGN, 1, colour="green"), replace(SIGN, background="pink"),
    replace(SIGN, items=(*SIGN.items, replace(BOX, text="Q", box=ItemBox(128, 128, 32)))),
], ids=["font", "letter", "moved", "shape", "colour", "background", "stray letter"])
def test_every_fault_is_further_from_the_truth_than_a_grid_too_faint_to_see(shown):
    reward = TruthReward()
    faint = value(reward, sample(SIGN, with_grid(draw_poster(SIGN), 1)))
    assert value(reward, drawn(SIGN, shown)) < faint < 0 == value(reward, drawn(SIGN))


def test_a_grid_costs_the_more_the_stronger_it_is_and_edges_cost_more_than_a_tint():
    grids = [value(TruthReward(), sample(SIGN, with_grid(draw_poster(SIGN), levels))) for levels in (0, 1, 2, 4)]
    assert grids == sorted(grids, reverse=True) and len(set(grids)) == 4
    tint = Image.blend(draw_poster(SIGN), Image.new("RGB", (256, 256), "black"), 1 / 255)
    same_mean = with_grid(draw_poster(SIGN), 8)  # lines are an eighth of all pixels
    assert value(TruthReward(), sample(SIGN, same_mean)) < 1.5 * value(TruthReward(), sample(SIGN, tint))


@pytest.mark.parametrize("reward", ON_POSTERS, ids=lambda reward: type(reward).__name__)
def test_what_cannot_be_compared_is_refused_by_name(reward):
    name, whole = type(reward).__name__.removesuffix("Reward").lower(), drawn(SIGN)
    with pytest.raises(GLMImageError, match=f"reward {name} needs tasks with a poster"):
        reward([replace(whole, task=replace(whole.task, poster=None))])
    with pytest.raises(GLMImageError, match=rf"reward {name} needs pictures .* 256x256 pixels \(got 128x128\)"):
        reward([sample(SIGN, Image.new("RGB", (128, 128)))])
    with pytest.raises(ValueError, match="must have a picture"):
        reward([sample(SIGN)])


@needs_chinese_fonts
def test_signs_and_posters_that_the_decoder_practises_are_worth_most_as_they_are_drawn():
    tasks = decoder_source().draw(random.Random(0), 10)
    samples = [Sample(task, task.plan, draw_poster(task.poster)) for task in tasks]
    assert {sample.picture.width for sample in samples} == {128, 256}
    assert min(score.value for score in LettersReward()(samples)) > 0.97
    assert {score.value for score in TruthReward()(samples)} == {0}


@pytest.mark.parametrize("reward", ON_POSTERS, ids=lambda reward: type(reward).__name__)
def test_a_missing_font_is_one_line_that_says_what_to_install(reward, monkeypatch):
    def fail(*arguments):
        raise OSError("cannot open resource")

    monkeypatch.setattr(draw, "load_font", fail)
    unseen = with_item(SIGN, 0, text="春" * 3)  # that no test has drawn
    letter_masks.cache_clear()
    picture = Image.new("RGB", (256, 256))
    with pytest.raises(GLMImageError, match=r"needs matplotlib and the fonts .* \(cannot open resource\)$"):
        reward([sample(unseen, picture)])


def test_posters_without_words_have_all_their_letters_and_words_right():
    bare = replace(SIGN, items=SIGN.items[1:])
    (score,) = LettersReward()([drawn(bare)])
    assert (score.value, score.parts) == (1, ()) and (score.part_of_cell == -1).all()


def test_shapes_are_parts_and_their_share_counts():
    two = replace(SIGN, items=(*SIGN.items, replace(SIGN.items[1], zone=("bottom", "left"), box=ItemBox(0, 192, 32))))
    (right, wrong) = ShapesReward()([drawn(two), drawn(two, with_item(two, 1, kind="circle"))])
    assert (right.value, right.parts, wrong.value, wrong.parts) == (1, (1, 1), 0.5, (0, 1))
    assert (wrong.part_of_cell == 1).nonzero().tolist() == [[6, 0], [6, 1], [7, 0], [7, 1]]
    assert value(ShapesReward(), drawn(replace(SIGN, items=SIGN.items[:1]))) == 1


@pytest.mark.parametrize("read, expected, parts", [
    (["BOX", "TEA"], 1, (1, 1)), (["BOX"], 0.5, (1, 0)), (["BOK", "TEA"], (1 / 3 + 1) / 2, (1 / 3, 1)), ([], 0, (0, 0)),
])
def test_words_that_are_nearly_right_count_half_their_similarity(read, expected, parts):
    two = replace(SIGN, items=(*SIGN.items, replace(BOX, text="TEA", zone=("centre", "left"), box=ItemBox(0, 96, 32))))
    (score,) = WordsReward(reader=lambda pixels: read)([drawn(two)])
    assert score.value == pytest.approx(expected) and score.parts == pytest.approx(parts)
    assert (score.part_of_cell == 1).nonzero().tolist() == [[3, 0], [3, 1], [3, 2]]


def test_tasks_without_a_poster_have_words_but_no_parts():
    one = drawn(SIGN)
    (score,) = WordsReward(reader=lambda pixels: ["BOX"])([replace(one, task=replace(one.task, poster=None))])
    assert (score.value, score.parts, score.part_of_cell) == (1, (), None)


@needs_ocr
def test_the_ocr_reads_drawn_words():
    assert value(WordsReward(), drawn(SIGN)) == 1
    assert value(WordsReward(), drawn(SIGN, with_item(SIGN, 0, text="TEA"))) < 0.5


def test_likelihood_is_that_of_the_foreground():
    plan = sample(SIGN).plan
    log_probs = torch.full((1, 64), -100.0)
    log_probs[0, [8, 9, 10]], log_probs[0, [54, 55, 62, 63]] = -1.0, -8.0
    scored = Plan(plan.ids, log_probs=log_probs)
    assert value(LikelihoodReward(), Sample(sample(SIGN).task, scored)) == pytest.approx((-3 - 32) / 7)
    with pytest.raises(GLMImageError, match="log-probabilities"):
        LikelihoodReward()([sample(SIGN)])
