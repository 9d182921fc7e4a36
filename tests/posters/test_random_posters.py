import random

import numpy as np

from glm_core.geometry import TOKEN_PIXELS
from glm_core.posters import (
    COLUMNS,
    GRID,
    HELD_OUT_WORDS,
    ROWS,
    SIDE,
    Style,
    allowed_boxes,
    item_cells,
    position_item,
    random_poster,
    random_short_text,
    word_cells,
)
from tests.posters.samples import DENSE_PAGES, EDITS, FREE, ON_GRID, SMALL


def test_items_do_not_overlap_and_lie_inside_the_poster():
    for poster in (*ON_GRID, *SMALL, *FREE, *(edit.after for edit in EDITS)):
        cells = [cell for item in poster.items for cell in item_cells(item)]
        assert len(set(cells)) == len(cells)
        assert all(0 <= row < poster.cells and 0 <= column < poster.cells for row, column in cells)


def test_free_items_lie_in_the_zones_that_captions_name():
    for poster in FREE:
        for shape in poster.shapes:
            left, top, pitch = shape.require_box()
            assert shape.zone == (ROWS[int((top + pitch) / SIDE * 3)], COLUMNS[int((left + pitch) / SIDE * 3)])
        for word in poster.words:
            left, top, pitch = word.require_box()
            assert word.zone[0] == ROWS[int((top + pitch / 2) / SIDE * 3)]
            assert left >= 0 and left + len(word.text) * pitch <= SIDE


def test_items_of_a_caption_take_all_the_boxes_that_are_allowed_and_no_others():
    for poster in (*ON_GRID, *SMALL, *FREE):
        assert all(item.require_box() in allowed_boxes(item, poster.cells) for item in poster.items)
    for item in (item for poster in FREE[:12] for item in poster.items):
        taken = {position_item(random.Random(i), item, free=True) for i in range(600)}
        assert {other.box for other in taken if other.size == item.size} == set(allowed_boxes(item))


def test_held_out_words_never_appear():
    held_out = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    words = [random_poster(random.Random(i), (1,), held_out).words[0].text for i in range(200)]
    assert all(word.isdigit() for word in words)


def test_short_texts_do_not_overlap_on_a_quarter_of_a_poster():
    pages = [random_short_text(random.Random(i), ((3,), (4, 2))[i % 2], HELD_OUT_WORDS, Style(chinese=i % 3 > 1))
             for i in range(200)]
    assert {word.size for page in pages for word in page.words} == {"small", "large"}
    for page in pages:
        cells = [cell for word in page.words for cell in word_cells(word)]
        assert len(cells) == len(set(cells)) == (6 if len(page.words) == 2 else 3)
        assert all(0 <= index < page.cells == GRID // 2 for cell in cells for index in cell)


def test_nothing_on_dense_pages_overlaps():
    for page in DENSE_PAGES:
        side = page.cells * TOKEN_PIXELS
        covered = np.zeros((side, side), dtype=int)
        for item in page.items:
            left, top, pitch = item.require_box()
            width, height = (len(item.text) * pitch, pitch) if item.text else (2 * pitch, 2 * pitch)
            assert 0 <= left <= side - width and 0 <= top <= side - height
            covered[top : top + height, left : left + width] += 1
        assert covered.max() <= 1
        assert not {word.text for word in page.words} & HELD_OUT_WORDS
        cells = [cell for item in page.items for cell in item_cells(item)]
        assert len(cells) == len(set(cells))


def test_dense_pages_have_many_letters():
    letters = [sum(len(word.text) for word in page.words) for page in DENSE_PAGES if page.cells == GRID]
    assert np.mean(letters) > 15
