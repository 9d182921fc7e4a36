import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from glm_core.checkpoint import EMBEDDED
from glm_core.evaluation.suites.posters import tasks as read_tasks
from glm_core.geometry import preview_grid
from glm_core.glyph import quoted_texts
from glm_core.planner import PromptTokenizer
from glm_core.plans import TOKEN_PIXELS
from glm_core.posters.edits import random_edit, random_letters
from glm_core.posters.held_out import WORDS, write_edits, write_prompts
from glm_core.posters.scene import (
    BACKGROUNDS,
    CELL_CODES,
    COARSER,
    COLOURS,
    COLUMNS,
    GRID,
    PAIR,
    ROWS,
    SHAPE_PITCH,
    SIDE,
    STEP,
    WORD_PITCH,
    Box,
    Item,
    Poster,
    Style,
    ambiguous_letters,
    caption,
    cell_codes,
    coarse,
    coarse_grid_codes,
    draw_poster,
    random_dense_page,
    random_poster,
    random_short_text,
    random_style,
    shape_cells,
    with_pair,
    word_cells,
)
from glm_core.posters.tokenizer import VISUAL_IDS, make_tokenizer
from glm_core.training.planner import PREVIEW, TARGET

POSTERS = [random_poster(random.Random(i)) for i in range(300)]
SMALL = [random_poster(random.Random(i), cells=6) for i in range(300)]
FREE = [random_poster(random.Random(i), style=Style(free=True)) for i in range(300)]
IN_CHINESE = [random_poster(random.Random(i), style=Style(free=i % 2 > 0, chinese=True)) for i in range(300)]
WITH_SERIFS = [random_poster(random.Random(i), style=Style(i % 2 > 0, i % 3 > 1, "serif")) for i in range(300)]
EDITS = [random_edit(random.Random(i), random_letters(random.Random(i)), style=Style(free=i % 2 > 0)) for i in range(300)]
WALLS = [random_dense_page(random.Random(i), random_style(random.Random(i), serif=0.5), WORDS, (GRID, GRID // 2)[i % 4 > 1]) for i in range(400)]
NAMES = {code: name for name, code in CELL_CODES.items()}


@pytest.fixture(scope="module")
def tokenizer():
    return PromptTokenizer(make_tokenizer().to_str())


def test_items_stand_apart_inside_the_poster():
    for poster in (*POSTERS, *SMALL, *FREE, *(edit.after for edit in EDITS)):
        cells = [cell for item in poster.items for cell in (shape_cells(item) if item.kind else word_cells(item))]
        assert len(set(cells)) == len(cells)
        assert all(0 <= row < poster.cells and 0 <= column < poster.cells for row, column in cells)


def test_items_stand_in_the_zones_that_captions_name():
    for poster in FREE:
        for shape in poster.shapes:
            left, top, pitch = shape.box
            assert shape.zone == (ROWS[int((top + pitch) / SIDE * 3)], COLUMNS[int((left + pitch) / SIDE * 3)])
        for word in poster.words:
            assert word.zone[0] == ROWS[int((word.box.top + word.box.pitch / 2) / SIDE * 3)]
            assert word.box.left >= 0 and word.box.left + len(word.text) * word.box.pitch <= SIDE


def test_captions_quote_exactly_the_words():
    for poster in (*POSTERS, *FREE, *IN_CHINESE, *WITH_SERIFS):
        assert quoted_texts(caption(poster)) == [word.text for word in poster.words]


def test_captions_tell_posters_apart():
    for posters in (POSTERS, SMALL, [*POSTERS, *(replace(poster, font="serif") for poster in POSTERS)]):
        assert len({caption(poster) for poster in posters}) == len(set(posters))


def test_codes_spell_the_words_and_colours():
    for poster in (*POSTERS, *SMALL, *FREE):
        grid = cell_codes(poster)
        for word in poster.words:
            for letter, (row, column) in zip(word.text, word_cells(word), strict=True):
                assert NAMES[grid[row][column]][:3] == ("letter", letter, word.colour)
        for shape in poster.shapes:
            assert {NAMES[grid[row][column]][:3] for row, column in shape_cells(shape)} == {("shape", shape.kind, shape.colour)}


def test_a_quoted_letter_is_left_open_where_the_quoted_texts_have_only_one_of_its_pair():
    """So the glyphs always tell, and a letter of a word that is not quoted is never open."""
    assert ambiguous_letters("BOX", ["BOX"]) == ["AB", "OP", "WX"]
    assert ambiguous_letters("BOX", ["BOX", "PEN"]) == ["AB", "O", "WX"]
    assert ambiguous_letters("BOX", ["PEN"]) == ambiguous_letters("BOX", []) == ["B", "O", "X"]
    assert ambiguous_letters("DECK", ["DECK"]) == ["D", "E", "C", "KL"]
    for poster in (*POSTERS, *FREE, *IN_CHINESE):
        quoted = quoted_texts(caption(poster))
        open_grid = [NAMES[code] for row in cell_codes(poster, quoted) for code in row]
        for told, shown in zip(open_grid, (NAMES[code] for row in cell_codes(poster) for code in row), strict=True):
            letters = set(told[1]) & set("".join(quoted)) if told[0] == "letter" else {shown[1]}
            assert letters == {shown[1]} and (told[0], *told[2:]) == (shown[0], *shown[2:])


def test_a_poster_with_a_pair_quotes_both_of_its_letters():
    for i, poster in enumerate((*POSTERS, *IN_CHINESE)):
        paired = with_pair(random.Random(i), poster, WORDS)
        before, after = ("".join(word.text for word in each.words) for each in (poster, paired))
        changed = [letter for letter, old in zip(after, before, strict=True) if letter != old]
        assert len(changed) <= 1 and all(set(PAIR[letter]) <= set(after) for letter in changed)
        assert replace(paired, items=poster.items) == poster
    assert sum(with_pair(random.Random(i), poster, WORDS) != poster for i, poster in enumerate(POSTERS)) > 200


def test_short_texts_stand_apart_on_a_quarter_of_a_poster():
    signs = [random_short_text(random.Random(i), ((3,), (4, 2))[i % 2], WORDS, Style(chinese=i % 3 > 1)) for i in range(200)]
    assert {word.size for sign in signs for word in sign.words} == {"small", "large"}
    for sign in signs:
        cells = [cell for word in sign.words for cell in word_cells(word)]
        assert len(cells) == len(set(cells)) == (6 if len(sign.words) == 2 else 3)
        assert all(0 <= at < sign.cells == GRID // 2 for cell in cells for at in cell)


def as_codes_say(codes: list[list[int]]) -> Poster:
    items = []
    for row, line in enumerate(codes):
        for column, (what, *details) in enumerate(NAMES[code] for code in line):
            if what == "empty":
                background, *font = details
                continue
            name, colour, size, x, y = details
            left, top = (TOKEN_PIXELS * at + STEP - STEP * int(part[1]) for at, part in ((column, x), (row, y)))
            pitch = (SHAPE_PITCH if what == "shape" else WORD_PITCH)[size]
            text, kind = ("", name) if what == "shape" else (name, None)
            items.append(Item(colour, ("", ""), text, kind, size, Box(left, top, pitch)))
    return Poster(background, tuple(dict.fromkeys(items)), len(codes), font="".join(font))


def test_codes_say_all_there_is_to_know():
    for poster in (*POSTERS[:40], *FREE[:80], *WALLS[:80], *WITH_SERIFS[:40]):
        codes = cell_codes(poster)
        if any(NAMES[code][0] == "empty" for row in codes for code in row):
            assert np.array_equal(draw_poster(as_codes_say(codes)), draw_poster(poster)), poster


def test_a_coarse_codebook_keeps_rows_colours_and_pairs_of_letters():
    for poster in (*POSTERS, *FREE):
        fine, rough = ([[NAMES[code] for code in row] for row in grid] for grid in (cell_codes(poster), coarse(cell_codes(poster))))
        assert coarse(coarse(cell_codes(poster))) == coarse(cell_codes(poster))
        for a, b in zip(sum(fine, []), sum(rough, [])):
            assert a[0] == b[0] and (a[0] == "empty" and a == b or a[2] == b[2])
    assert len({COARSER[code] for code in COARSER}) == 2 * len(BACKGROUNDS) + len(COLOURS) * (29 + 4 * 5 + 1 + 5)


def test_edits_change_what_they_say_and_keep_the_rest():
    for edit in EDITS:
        before, after = set(edit.before.items), set(edit.after.items)
        if "background" in edit.sentence:
            assert before == after
            continue
        assert edit.before.background == edit.after.background
        gone, come = before - after, after - before
        assert len(gone) == 1 and len(come) == (0 if edit.sentence.startswith("Remove") else 1), edit
        (old,) = gone
        assert old.where in edit.sentence and old.noun in edit.sentence
        for new in come:
            assert quoted_texts(edit.sentence) == ([new.text] if edit.sentence.startswith("Change") else [""])
            assert (new.zone != old.zone) == edit.sentence.startswith("Move")


def test_previews_show_every_shape():
    for poster in POSTERS:
        shown = {NAMES[code][1:] for row in coarse_grid_codes(poster) for code in row if NAMES[code][0] == "some shape"}
        assert shown == {(shape.kind, shape.colour) for shape in poster.shapes}


def test_pictures_have_the_colours_where_the_codes_say():
    for poster in (*POSTERS[:40], *WITH_SERIFS[:80:2]):
        whole = 0.99 if poster.font else 1  # a J with serifs reaches a little into the cell below
        pixels = np.asarray(draw_poster(poster)).astype(int)
        assert pixels.shape == (SIDE, SIDE, 3)
        for r, row in enumerate(cell_codes(poster)):
            for c, code in enumerate(row):
                kind, *details = NAMES[code]
                cell = pixels[32 * r : 32 * r + 32, 32 * c : 32 * c + 32].reshape(-1, 3)
                wanted = BACKGROUNDS[details[0]] if kind == "empty" else COLOURS[details[1]]
                share = (np.abs(cell - wanted).max(1) < 8).mean()
                assert share >= whole if kind == "empty" else share > 0.05, (poster, r, c)


def test_held_out_words_are_never_drawn():
    kept_out = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    words = [random_poster(random.Random(i), (1,), kept_out).words[0].text for i in range(200)]
    assert all(word.isdigit() for word in words)


def test_tokenizer_spells_quoted_words_and_keeps_common_ones_whole(tokenizer):
    assert len(tokenizer.encode('"QXK"')) == 5
    assert len(tokenizer.encode(" triangle")) == 1
    assert len(tokenizer.encode("春风")) == 2
    assert min(tokenizer.encode("At the top, anything at all: é, 世界, <sop>")) >= VISUAL_IDS


def test_the_preview_has_the_size_that_generation_gives_it():
    assert preview_grid(*TARGET, PREVIEW[0] * PREVIEW[1]) == PREVIEW


def test_held_out_edits_are_tasks_with_their_pictures(tmp_path):
    write_edits(tmp_path / "edits.jsonl", 40)
    tasks = read_tasks(tmp_path / "edits.jsonl")
    assert len(tasks) == 40 and all(set(task.words) <= WORDS for task in tasks)
    assert {Image.open(path).size for task in tasks for path in task.images} == {(SIDE, SIDE)}
    assert len({path for task in tasks for path in task.images}) == 40
    assert sum('to "' in task.prompt for task in tasks) == 20
    assert all(f'"{text}"' in task.prompt or '"' not in task.prompt or len(task.texts) == 2 for task in tasks for text in task.texts)


@pytest.mark.parametrize("name", ["grid", "free", "chinese", "serif", "edits"])
def test_shipped_prompts_are_those_that_are_written(name, tmp_path):
    shipped, written = EMBEDDED / f"held_out_{name}.jsonl", tmp_path / f"held_out_{name}.jsonl"
    if name == "edits":
        write_edits(written, 100)
        for task, again in zip(read_tasks(shipped), read_tasks(written), strict=True):
            assert np.array_equal(*(np.asarray(Image.open(each.images[0])) for each in (task, again)))
    else:
        write_prompts(written, len(read_tasks(shipped)), name)
    assert written.read_text(encoding="utf-8") == shipped.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["grid", "free", "chinese", "serif"])
def test_held_out_prompts_are_tasks_that_evaluate_reads(kind, tmp_path):
    write_prompts(tmp_path / "prompts.jsonl", 300, kind)
    tasks = read_tasks(tmp_path / "prompts.jsonl")
    assert len(tasks) == 300 and all(task.words and set(task.words) <= WORDS for task in tasks)
    assert sum(len(task.shapes) for task in tasks) > 100
    assert all(quoted_texts(task.prompt) == list(task.texts) for task in tasks)


def test_nothing_on_walls_overlaps():
    for wall in WALLS:
        side = wall.cells * TOKEN_PIXELS
        covered = np.zeros((side, side), dtype=int)
        for item in wall.items:
            left, top, pitch = item.box
            width, height = (len(item.text) * pitch, pitch) if item.text else (2 * pitch, 2 * pitch)
            assert 0 <= left <= side - width and 0 <= top <= side - height
            covered[top : top + height, left : left + width] += 1
        assert covered.max() <= 1
        assert not {word.text for word in wall.words} & WORDS
        cells = [cell for item in wall.items for cell in (shape_cells(item) if item.kind else word_cells(item))]
        assert len(cells) == len(set(cells))


def test_walls_have_many_letters():
    assert np.mean([sum(len(word.text) for word in wall.words) for wall in WALLS if wall.cells == GRID]) > 15


def but_for_name(code: tuple[str, ...]) -> tuple[str, ...]:
    return code[:1] + code[2 if code[0] == "empty" else 3 :]


def test_all_codes_of_cells_are_drawn():
    posters = (*POSTERS, *FREE, *WALLS, *WITH_SERIFS)
    drawn = {but_for_name(NAMES[code]) for poster in posters for row in cell_codes(poster) for code in row}
    previews = {"some letters", "some shape"}
    assert drawn == {but_for_name(code) for code in CELL_CODES if code[0] not in previews}
