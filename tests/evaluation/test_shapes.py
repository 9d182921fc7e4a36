import random

import numpy as np
import pytest

from glm_core.evaluation.suites.shapes import kind_of, regions, seen_kinds
from glm_core.posters import COLUMNS, ROWS, SHAPES, Item, Poster, draw_poster, on_grid, random_poster


def with_shapes(count: int) -> list[Poster]:
    rng = random.Random(3)
    posters = (random_poster(rng) for _ in range(10 * count))
    return [poster for poster in posters if poster.shapes][:count]


def test_shapes_of_posters_are_seen():
    pairs = []
    for poster in with_shapes(60):
        seen = seen_kinds(np.asarray(draw_poster(poster)), poster.shapes)
        pairs += zip([shape.kind for shape in poster.shapes], seen, strict=True)
    assert {kind for kind, _ in pairs} == set(SHAPES)
    assert np.mean([kind == seen for kind, seen in pairs]) >= 0.99


def moved(shape: Item) -> Item:
    row, column = (ROWS.index(shape.zone[0]) + 1) % 3, (COLUMNS.index(shape.zone[1]) + 1) % 3
    return Item(shape.colour, (ROWS[row], COLUMNS[column]), kind=shape.kind)


def test_shapes_elsewhere_are_not_seen():
    hits = []
    for poster in with_shapes(40):
        wanted = [moved(shape) for shape in poster.shapes]
        hits += [seen == shape.kind for shape, seen in zip(wanted, seen_kinds(np.asarray(draw_poster(poster)), wanted))]
    assert np.mean(hits) <= 1 / 9


@pytest.mark.parametrize("wanted", [
    Item("red", ("centre", "left"), kind="square"), Item("blue", ("centre", "left"), kind="circle"),
])
def test_another_colour_or_kind_is_no_hit(wanted):
    poster = Poster("white", (on_grid(Item("blue", ("centre", "left"), kind="square")),))
    assert seen_kinds(np.asarray(draw_poster(poster)), [wanted]) != [wanted.kind]


@pytest.mark.parametrize("size", [(1024, 1024), (768, 512)])
def test_shapes_are_seen_in_large_noisy_pictures(size):
    wanted = (Item("red", ("top", "left"), kind="triangle"), Item("black", ("bottom", "right"), kind="cross"))
    picture = np.asarray(draw_poster(Poster("white", tuple(map(on_grid, wanted)))).resize(size)).astype(float)
    noisy = (picture + np.random.default_rng(0).normal(0, 25, picture.shape)).clip(0, 255).astype(np.uint8)
    assert seen_kinds(noisy, wanted) == ["triangle", "cross"]


def test_backgrounds_bars_and_specks_are_no_shapes():
    white = np.full((64, 64, 3), 250, np.uint8)
    assert seen_kinds(white, [Item("white", ("centre", "centre"), kind="square")]) == [None]
    mask = np.zeros((144, 144), dtype=bool)
    mask[10:14, 10:60] = mask[100:103, 100:103] = True
    assert list(regions(mask)) == []
    mask[60:90, 60:90] = np.random.default_rng(0).random((30, 30)) < 0.7
    assert [kind_of(region) for region in regions(mask)] in ([], [None])
