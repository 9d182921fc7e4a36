"""Random posters, edits and dense pages that the tests of posters share."""

import random

from glm_core.posters import (
    CELL_CODES,
    GRID,
    HELD_OUT_WORDS,
    Style,
    random_dense_page,
    random_edit,
    random_letters,
    random_poster,
    random_style,
)

SEEDS = range(300)


def serif_poster(seed: int):
    return random_poster(random.Random(seed), style=Style(free=seed % 2 > 0, chinese=seed % 3 > 1, font="serif"))


def edit(seed: int):
    letters = random_letters(random.Random(seed))
    return random_edit(random.Random(seed), letters, style=Style(free=seed % 2 > 0))


def dense_page(seed: int):
    style = random_style(random.Random(seed), serif=0.5)
    return random_dense_page(random.Random(seed), style, HELD_OUT_WORDS, cells=GRID // 2 if seed % 4 > 1 else GRID)


ON_GRID = [random_poster(random.Random(i)) for i in SEEDS]
SMALL = [random_poster(random.Random(i), cells=6) for i in SEEDS]
FREE = [random_poster(random.Random(i), style=Style(free=True)) for i in SEEDS]
IN_CHINESE = [random_poster(random.Random(i), style=Style(free=i % 2 > 0, chinese=True)) for i in SEEDS]
WITH_SERIFS = [serif_poster(i) for i in SEEDS]
EDITS = [edit(i) for i in SEEDS]
DENSE_PAGES = [dense_page(i) for i in range(400)]
NAMES = list(CELL_CODES)  # what each code shows
