"""Plans that are right by construction are judged right, and those with any single wrong cell are judged wrong."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_core.evaluation.suites.codes import judge, summary
from glm_core.glyph import quoted_texts
from glm_core.posters import (
    CELL_CODES,
    COLOURS,
    PAIR_OF,
    Item,
    ItemBox,
    Poster,
    Style,
    allowed_boxes,
    caption,
    cell_codes,
    empty_code,
    item_cells,
    random_poster,
    word_cells,
)

NAMES = list(CELL_CODES)
STYLES = st.builds(Style, st.booleans(), st.booleans(), st.sampled_from(["", "serif"]))
POSTERS = st.builds(lambda seed, style: random_poster(random.Random(seed), style=style), st.integers(0, 10**6), STYLES)
BOX = Item("red", ("top", "left"), "BOX", None, "small", ItemBox(0, 0, 32))
CROSS = Item("blue", ("bottom", "right"), "", "cross", "large", ItemBox(192, 192, 32))
SIGN = Poster("white", (BOX, CROSS))


def texts(poster: Poster) -> list[str]:
    return quoted_texts(caption(poster))


def changed(codes: list[list[int]], cell: tuple[int, int], code: int) -> list[list[int]]:
    """The codes with another one in a cell."""
    copy = [list(row) for row in codes]
    copy[cell[0]][cell[1]] = code
    return copy


def same_but(code: int, position: int, value: str) -> int:
    """The code whose name has another value at this position."""
    name = list(NAMES[code])
    name[position] = value
    return CELL_CODES[tuple(name)]


@given(POSTERS, st.booleans())
@settings(max_examples=200, deadline=None)
def test_plans_of_their_own_poster_are_whole(poster, with_pairs):
    result = judge(cell_codes(poster, texts(poster) if with_pairs else ()), poster, texts(poster))
    assert result.whole and result.found == poster.items
    assert all(result.words) and len(result.words) == len(poster.words)
    assert all(result.shapes) and len(result.shapes) == len(poster.shapes)


@given(POSTERS, st.data())
@settings(max_examples=200, deadline=None)
def test_any_other_code_in_any_cell_spoils_the_plan(poster, data):
    codes, quoted = cell_codes(poster, texts(poster)), texts(poster)
    cell = data.draw(st.tuples(st.integers(0, 7), st.integers(0, 7)))
    code = data.draw(st.integers(0, len(CELL_CODES) - 1))
    right = {cell_codes(poster)[cell[0]][cell[1]], codes[cell[0]][cell[1]]}
    result = judge(changed(codes, cell, code), poster, quoted)
    assert result.whole == (code in right)
    for item, found in zip(poster.items, result.found):
        if cell in item_cells(item) and code not in right:
            assert found is None, "the only item with that cell is wrong"
        elif item.kind or NAMES[code][0] != "letter":
            assert found == item, "all other items stay right"


@given(POSTERS, st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_items_are_right_at_every_place_that_the_caption_allows(poster, seed):
    rng = random.Random(seed)
    items = tuple(replace(item, box=rng.choice(allowed_boxes(item))) for item in poster.items)
    codes = cell_codes(replace(poster, items=items), texts(poster))
    assert judge(codes, poster, texts(poster)).found == items


@pytest.mark.parametrize("position, value, what", [
    (1, "A", "letter"), (1, "CD", "pair"), (2, "blue", "colour"), (3, "large", "size"), (4, "x2", "part"),
    (5, "y2", "part"),
])
def test_each_detail_of_a_letter_counts(position, value, what):
    codes = cell_codes(SIGN)
    row, column = word_cells(BOX)[0]
    wrong = changed(codes, (row, column), same_but(codes[row][column], position, value))
    assert judge(codes, SIGN, ["BOX"]).words == [True]
    result = judge(wrong, SIGN, ["BOX"])
    assert result.words == [False] and result.shapes == [True] and not result.whole, what


@pytest.mark.parametrize("position, value", [(1, "circle"), (2, "red"), (3, "small"), (4, "x3"), (5, "y3")])
def test_each_detail_of_a_shape_counts(position, value):
    codes = cell_codes(SIGN)
    row, column = item_cells(CROSS)[0]
    if position == 3:  # small shapes have other parts
        wrong = changed(codes, (row, column), CELL_CODES["shape", "cross", "blue", "small", "x1", "y1"])
    else:
        wrong = changed(codes, (row, column), same_but(codes[row][column], position, value))
    result = judge(wrong, SIGN, ["BOX"])
    assert result.words == [True] and result.shapes == [False] and not result.whole


def with_pair_of(letter: str) -> list[list[int]]:
    """The sign's codes, in which one letter of the word is told by its pair alone."""
    codes = cell_codes(SIGN)
    row, column = word_cells(BOX)["BOX".index(letter)]
    return changed(codes, (row, column), same_but(codes[row][column], 1, PAIR_OF[letter]))


@pytest.mark.parametrize("quoted, told", [
    (["BOX"], True), (["BOX", "SUN"], True), (["BOX", "TEA"], False), (["SUN"], False), ([""], False),
])
def test_a_pair_is_right_only_if_the_quoted_texts_tell_which_letter_it_is(quoted, told):
    """Of A and B only one may be quoted, and the word itself must be."""
    result = judge(with_pair_of("B"), SIGN, quoted)
    assert result.words == [told] and result.whole == told


@pytest.mark.parametrize("word, letter", [("DECK", "D"), ("DECK", "E"), ("EGG", "E")])
def test_pairs_that_no_decoder_tells_apart_are_wrong(word, letter):
    poster = Poster("white", (replace(BOX, text=word),))
    codes = cell_codes(poster)
    row, column = word_cells(poster.words[0])[word.index(letter)]
    pair = changed(codes, (row, column), same_but(codes[row][column], 1, PAIR_OF[letter]))
    assert judge(codes, poster, [word]).whole and not judge(pair, poster, [word]).whole


@pytest.mark.parametrize("column, joined", [(0, False), (1, True), (5, True), (6, False)])
@pytest.mark.parametrize("colour", ["red", "green"])
def test_a_letter_directly_before_or_after_a_word_makes_it_another_word(column, joined, colour):
    word = replace(BOX, zone=("top", "centre"), box=ItemBox(64, 0, 32))
    poster = Poster("white", (word,))
    stray = CELL_CODES["letter", "S", colour, "small", "x1", "y1"]
    result = judge(changed(cell_codes(poster), (0, column), stray), poster, ["BOX"])
    assert result.words == [not joined] and not result.whole


def test_a_letter_in_a_gap_of_a_large_word_is_in_its_way():
    poster = Poster("white", (replace(BOX, size="large", box=ItemBox(0, 0, 48)),))
    assert [column for _, column in word_cells(poster.words[0])] == [0, 2, 3]
    stray = CELL_CODES["letter", "S", "red", "large", "x1", "y1"]
    assert judge(changed(cell_codes(poster), (0, 1), stray), poster, ["BOX"]).words == [False]


def test_an_item_at_a_place_that_the_caption_does_not_allow_is_wrong():
    elsewhere = replace(BOX, box=ItemBox(0, 96, 32))
    result = judge(cell_codes(Poster("white", (elsewhere, CROSS))), SIGN, ["BOX"])
    assert result.words == [False] and result.shapes == [True] and not result.whole


def test_a_second_copy_of_an_item_is_not_background():
    twice = Poster("white", (*SIGN.items, replace(CROSS, box=ItemBox(0, 192, 32))))
    result = judge(cell_codes(twice), SIGN, ["BOX"])
    assert result.words == result.shapes == [True] and not result.whole


@pytest.mark.parametrize("other", [Poster("grey", SIGN.items), replace(SIGN, font="serif")])
def test_another_background_or_font_is_not_whole(other):
    result = judge(cell_codes(other), SIGN, ["BOX"])
    assert result.words == result.shapes == [True] and not result.whole


def test_every_colour_of_background_is_known():
    for colour in COLOURS:
        poster = Poster(colour, ())
        assert judge([[empty_code(poster)] * 8] * 8, poster, [""]).whole
        assert not judge([[empty_code(poster)] * 7 + [empty_code(Poster("pink", ()))]] * 8, poster, [""]).whole


def test_figures_are_shares_of_words_shapes_and_plans():
    right, wrong = judge(cell_codes(SIGN), SIGN, ["BOX"]), judge(with_pair_of("B"), SIGN, [""])
    assert summary([right, right, wrong, wrong]) == {
        "plans": 4, "whole": 0.5, "words": 4, "word_accuracy": 0.5, "shapes": 4, "shape_accuracy": 1.0}
    assert summary([])["whole"] is None
