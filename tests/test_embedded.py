"""The checkpoint that comes with the pack draws what its prompts say."""

import random
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from glm_core.checkpoint import EMBEDDED, VISION
from glm_core.evaluation.ocr import make_reader
from glm_core.evaluation.run import GLYPHS, PLAN, PREVIEW, draw_pictures, measure, summary
from glm_core.evaluation.tasks import Task, read_tasks
from glm_core.glyph import quoted_texts
from glm_core.pipeline import Place, load, load_planner
from glm_core.planner import plan_prompt
from glm_core.posters.edits import random_edit
from glm_core.posters.held_out import held_out_edit, held_out_poster
from glm_core.posters.scene import (
    CELL_CODES,
    SIDE,
    STEP,
    WORD_PITCH,
    Poster,
    Style,
    ambiguous_letters,
    caption,
    cell_codes,
    draw_poster,
    to_tensor,
    word_cells,
)
from glm_core.vision import tokenize

MEBIBYTE = 2**20
CPU = Place(torch.device("cpu"), torch.float32)
ON_GRID = [held_out_poster(random.Random(i)) for i in range(40)]
POSTERS = ON_GRID[:8]
FREE = [held_out_poster(random.Random(i), Style(free=True)) for i in range(8)]
IN_CHINESE = [held_out_poster(random.Random(i), Style(i % 2 > 0, chinese=True)) for i in range(8)]  # every other one on the grid
WITH_SERIFS = [replace(poster, font="serif") for poster in (*ON_GRID[:6], *IN_CHINESE[:4:2])]
READER = pytest.mark.skipif(not all(map(find_spec, ("rapidocr", "onnxruntime"))), reason="rapidocr and onnxruntime are not installed")
NAMES = list(CELL_CODES)


def task_of(poster: Poster) -> Task:
    return Task(caption(poster), tuple(word.text for word in poster.words), tuple(poster.shapes))


@pytest.fixture(scope="module")
def planner():
    return load_planner(EMBEDDED, CPU)


def draw(posters: list[Poster], without: str | None = None) -> list[np.ndarray]:
    args = SimpleNamespace(model=EMBEDDED, width=SIDE, height=SIDE, steps=12, guidance=1.5, seed=0, without=without)
    return [np.asarray(picture) for picture in draw_pictures(args, list(map(task_of, posters)), CPU)]


@pytest.fixture(scope="module")
def pictures():
    return draw(POSTERS)


@pytest.fixture(scope="module")
def pictures_with_serifs():
    return draw(WITH_SERIFS)


@pytest.fixture(scope="module")
def reader():
    return make_reader()


def difference(picture: np.ndarray, poster) -> float:
    """From the poster as the program draws it, in levels of 255."""
    return np.abs(picture.astype(int) - np.asarray(draw_poster(poster)).astype(int)).mean()


def test_it_is_small_and_says_what_it_is():
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40 * MEBIBYTE
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jsonl", ".md", ".png"}
    assert "word accuracy" in (EMBEDDED / "README.md").read_text(encoding="utf-8")


def planned(planner, poster: Poster, seed: int) -> list[list[int]]:
    return plan_prompt(*planner, caption(poster), SIDE, SIDE, seed=seed).ids[0].tolist()


def told(poster: Poster, prompt: str) -> list[list[int]]:
    return cell_codes(poster, quoted_texts(prompt))


@pytest.mark.parametrize("posters", [ON_GRID, IN_CHINESE[::2]], ids=["english", "chinese"])
def test_plans_of_held_out_prompts_spell_the_words(planner, posters):
    right = []
    for i, poster in enumerate(posters):
        ids, wanted = planned(planner, poster, i), told(poster, caption(poster))
        right += [all(ids[row][column] == wanted[row][column] for row, column in word_cells(word)) for word in poster.words]
    assert np.mean(right) >= 0.95


def letters_in_rows(ids: list[list[int]]) -> set[str]:
    """What a plan spells, row by row: letters of one colour and size that stand one pitch apart."""
    cells = [(*NAMES[code], row, column) for row, line in enumerate(ids) for column, code in enumerate(line) if NAMES[code][0] == "letter"]
    # half tokens from the poster's corner to the letter's
    placed = sorted((colour, size, 2 * row + 1 - int(y[1]), 2 * column + 1 - int(x[1]), letter)
                    for _, letter, colour, size, x, y, row, column in cells)
    words = [placed[0][4]] if placed else []
    for (*before, at, _), (*now, here, letter) in pairwise(placed):
        if before == now and here - at == WORD_PITCH[now[1]] // STEP:
            words[-1] += letter
        else:
            words.append(letter)
    return set(words)


def test_plans_of_free_posters_spell_the_words_at_even_steps(planner):
    right = []
    for i, poster in enumerate(FREE):
        spelled, quoted = letters_in_rows(planned(planner, poster, i)), quoted_texts(caption(poster))
        right += ["".join(ambiguous_letters(text, quoted)) in spelled for text in quoted]
    assert np.mean(right) >= 0.85


def test_looking_ahead_needs_fewer_passes_for_the_same_plan(planner):
    passes = []
    hook = planner[0].register_forward_hook(lambda *_: passes.append(1))
    counts = []
    for i, poster in enumerate(POSTERS[:4]):
        plans = []
        for ahead in (1, 8):
            passes.clear()
            plans.append(plan_prompt(*planner, caption(poster), SIDE, SIDE, seed=i, ahead=ahead))
            counts.append(len(passes))
        assert torch.equal(plans[0].ids, plans[1].ids) and torch.equal(plans[0].preview, plans[1].preview)
    hook.remove()
    assert sum(counts[0::2]) >= 1.5 * sum(counts[1::2])


def nearest(picture: np.ndarray) -> int:
    """The poster that the picture is most like."""
    return min(range(len(POSTERS)), key=lambda i: difference(picture, POSTERS[i]))


def test_pictures_are_the_posters_of_their_prompts(pictures):
    assert [nearest(picture) for picture in pictures] == list(range(len(POSTERS)))
    assert all(difference(picture, poster) < 12 for picture, poster in zip(pictures, POSTERS))


def test_letters_have_serifs_where_the_prompt_says_so(pictures, pictures_with_serifs):
    english = WITH_SERIFS[:6]  # drawing Chinese needs its fonts
    for picture, poster in (*zip(pictures_with_serifs, english), *zip(pictures, POSTERS)):
        other = replace(poster, font="" if poster.font else "serif")
        assert difference(picture, poster) < difference(picture, other), caption(poster)


@READER
@pytest.mark.parametrize("posters, least", [(FREE, 0.8), (IN_CHINESE, 0.8)], ids=["free", "chinese"])
def test_held_out_words_come_out_as_written(reader, posters, least):
    assert_words_and_shapes(posters, draw(posters), reader, least)


@READER
def test_held_out_words_come_out_as_written_on_the_grid_and_with_serifs(pictures, pictures_with_serifs, reader):
    assert_words_and_shapes(POSTERS, pictures, reader, 0.9)
    assert_words_and_shapes(WITH_SERIFS, pictures_with_serifs, reader, 0.8)


def assert_words_and_shapes(posters, drawn, reader, least: float) -> None:
    results = [measure(task_of(poster), Image.fromarray(picture), reader) for poster, picture in zip(posters, drawn)]
    assert summary(results)["word_accuracy"] >= least and summary(results)["shape_accuracy"] >= 0.9


def test_another_prompts_plan_draws_the_other_poster(pictures):
    assert [nearest(picture) for picture in draw(POSTERS[:4], PLAN)] == [1, 2, 3, 0]


@READER
def test_dropping_the_glyphs_breaks_the_words_and_keeps_the_layout(pictures, reader):
    """As the plan leaves open what the quoted texts tell."""
    without = draw(POSTERS, GLYPHS)
    read = [summary([measure(task_of(poster), Image.fromarray(picture), reader) for poster, picture in zip(POSTERS, drawn)])
            for drawn in (pictures, without)]
    assert read[0]["word_accuracy"] >= 0.9 and read[1]["word_accuracy"] <= 0.5
    assert read[1]["shape_accuracy"] >= 0.9 and [nearest(picture) for picture in without] == list(range(len(POSTERS)))


def test_plans_without_preview_are_drawn():
    assert [nearest(picture) for picture in draw(POSTERS[:2], PREVIEW)] == [0, 1]


def test_the_tower_reads_posters_and_the_planner_edits_them(planner):
    vision = load(EMBEDDED, VISION, CPU)
    read, edited = [], []
    for i in range(12):
        rng = random.Random(i)
        edit = random_edit(rng, rng.choice((0, 4)))
        tokens = tokenize(vision, to_tensor([draw_poster(edit.before)]), CPU.device, CPU.dtype)
        read.append((tokens.ids[0] == torch.tensor(cell_codes(edit.before))).float().mean().item())
        plan = plan_prompt(*planner, edit.sentence, SIDE, SIDE, seed=i, references=[tokens])
        edited.append((plan.ids[0] == torch.tensor(told(edit.after, edit.sentence))).float().mean().item())
    assert np.mean(read) >= 0.95 and np.mean(edited) >= 0.9


def test_an_edited_picture_is_the_poster_after_its_edit():
    tasks = read_tasks(EMBEDDED / "held_out_edits.jsonl", 4)
    args = SimpleNamespace(model=EMBEDDED, width=SIDE, height=SIDE, steps=12, guidance=1.5, seed=0, without=None)
    rng = random.Random("edits")  # as they were written
    edits = [held_out_edit(rng, i % 2 > 0) for i in range(len(tasks))]
    assert [edit.sentence for edit in edits] == [task.prompt for task in tasks]
    nearer = [difference(np.asarray(picture), edit.after) < difference(np.asarray(picture), edit.before)
              for picture, edit in zip(draw_pictures(args, tasks, CPU), edits)]
    assert np.mean(nearer) >= 0.75
