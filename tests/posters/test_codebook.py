import numpy as np

from glm_core.geometry import TOKEN_PIXELS, coarse_grid
from glm_core.glyph import quoted_texts
from glm_core.posters import (
    BACKGROUNDS,
    CELL_CODES,
    COLOURS,
    REDUCED_CODES,
    SHAPE_PITCH,
    SIDE,
    STEP,
    WORD_PITCH,
    Item,
    ItemBox,
    Poster,
    ambiguous_letters,
    caption,
    cell_codes,
    coarse_grid_codes,
    draw_poster,
    shape_cells,
    to_reduced_codebook,
    word_cells,
)
from glm_core.training.planner import COARSE_GRID, TARGET_GRID
from tests.posters.samples import DENSE_PAGES, FREE, IN_CHINESE, NAMES, ON_GRID, SMALL, WITH_SERIFS


def names_of(grid: list[list[int]]) -> list[tuple[str, ...]]:
    return [NAMES[code] for row in grid for code in row]


def test_codes_spell_the_words_and_name_the_colours():
    for poster in (*ON_GRID, *SMALL, *FREE):
        grid = cell_codes(poster)
        for word in poster.words:
            for letter, (row, column) in zip(word.text, word_cells(word), strict=True):
                assert NAMES[grid[row][column]][:3] == ("letter", letter, word.colour)
        for shape in poster.shapes:
            shown = {NAMES[grid[row][column]][:3] for row, column in shape_cells(shape)}
            assert shown == {("shape", shape.kind, shape.colour)}


def test_quoted_letters_are_ambiguous_where_the_quoted_texts_have_only_one_of_the_pair():
    """So the glyphs always tell which letter it is. Letters of a word that is not quoted are never ambiguous."""
    assert ambiguous_letters("BOX", ["BOX"]) == ["AB", "OP", "WX"]
    assert ambiguous_letters("BOX", ["BOX", "PEN"]) == ["AB", "O", "WX"]
    assert ambiguous_letters("BOX", ["PEN"]) == ambiguous_letters("BOX", []) == ["B", "O", "X"]
    assert ambiguous_letters("DECK", ["DECK"]) == ["D", "E", "C", "KL"]


def test_quoted_texts_and_codes_together_tell_every_letter():
    for poster in (*ON_GRID, *FREE, *IN_CHINESE):
        quoted = quoted_texts(caption(poster))
        ambiguous, exact = names_of(cell_codes(poster, quoted)), names_of(cell_codes(poster))
        for code, shown in zip(ambiguous, exact, strict=True):
            letters = set(code[1]) & set("".join(quoted)) if code[0] == "letter" else {shown[1]}
            assert letters == {shown[1]} and (code[0], *code[2:]) == (shown[0], *shown[2:])


def item_shown(code: tuple[str, ...], row: int, column: int) -> Item:
    """The item of which a cell's code shows a part; of a word, only the letter."""
    what, name, colour, size, x, y = code
    left = TOKEN_PIXELS * column + STEP - STEP * int(x[1])
    top = TOKEN_PIXELS * row + STEP - STEP * int(y[1])
    if what == "shape":
        return Item(colour, ("", ""), "", name, size, ItemBox(left, top, SHAPE_PITCH[size]))
    return Item(colour, ("", ""), name, None, size, ItemBox(left, top, WORD_PITCH[size]))


def poster_shown(codes: list[list[int]]) -> Poster:
    """The poster that codes describe; one of them must be of an empty cell."""
    items, background, font = [], "", ""
    for row, line in enumerate(codes):
        for column, code in enumerate(NAMES[i] for i in line):
            if code[0] == "empty":
                background, font = code[1], "".join(code[2:])
            else:
                items.append(item_shown(code, row, column))
    return Poster(background, tuple(dict.fromkeys(items)), len(codes), font=font)


def test_codes_say_all_there_is_to_know():
    for poster in (*ON_GRID[:40], *FREE[:80], *DENSE_PAGES[:80], *WITH_SERIFS[:40]):
        codes = cell_codes(poster)
        if any(code[0] == "empty" for code in names_of(codes)):
            shown, drawn = (np.asarray(draw_poster(each)) for each in (poster_shown(codes), poster))
            assert np.array_equal(shown, drawn), poster


def test_the_reduced_codebook_keeps_colours_and_pairs_of_letters():
    for poster in (*ON_GRID, *FREE):
        full = cell_codes(poster)
        reduced = to_reduced_codebook(full)
        assert to_reduced_codebook(reduced) == reduced
        for a, b in zip(names_of(full), names_of(reduced)):
            assert a[0] == b[0] and (a[0] == "empty" and a == b or a[2] == b[2])
    in_each_colour = 29 + 4 * 5 + 1 + 5  # pairs, parts of shapes, then the coarse grid's letters and shapes
    kept = {REDUCED_CODES[code] for code in REDUCED_CODES}
    assert len(kept) == 2 * len(BACKGROUNDS) + len(COLOURS) * in_each_colour


def test_coarse_grids_show_every_shape():
    for poster in ON_GRID:
        shown = {code[1:] for code in names_of(coarse_grid_codes(poster)) if code[0] == "some shape"}
        assert shown == {(shape.kind, shape.colour) for shape in poster.shapes}


def test_coarse_grids_have_the_size_that_generation_gives_them():
    assert coarse_grid(*TARGET_GRID, COARSE_GRID[0] * COARSE_GRID[1]) == COARSE_GRID


def test_pictures_have_the_colours_that_the_codes_name():
    for poster in (*ON_GRID[:40], *WITH_SERIFS[:80:2]):
        least_empty = 0.99 if poster.font else 1  # a J with serifs reaches a little into the cell below
        pixels = np.asarray(draw_poster(poster)).astype(int)
        assert pixels.shape == (SIDE, SIDE, 3)
        for r, row in enumerate(cell_codes(poster)):
            for c, code in enumerate(row):
                kind, *details = NAMES[code]
                cell = pixels[32 * r : 32 * r + 32, 32 * c : 32 * c + 32].reshape(-1, 3)
                expected = BACKGROUNDS[details[0]] if kind == "empty" else COLOURS[details[1]]
                share = (np.abs(cell - expected).max(1) < 8).mean()
                assert share >= least_empty if kind == "empty" else share > 0.05, (poster, r, c)


def without_name(code: tuple[str, ...]) -> tuple[str, ...]:
    """A code without its letter, kind or background, and without a letter's or shape's colour."""
    return code[:1] + code[2 if code[0] == "empty" else 3 :]


def test_all_codes_of_target_grids_appear():
    posters = (*ON_GRID, *FREE, *DENSE_PAGES, *WITH_SERIFS)
    drawn = {without_name(code) for poster in posters for code in names_of(cell_codes(poster))}
    coarse = {"some letters", "some shape"}
    assert drawn == {without_name(code) for code in CELL_CODES if code[0] not in coarse}
