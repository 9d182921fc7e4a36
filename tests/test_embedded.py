"""The checkpoint that comes with the pack draws what its prompts say."""

import functools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from glm_core.checkpoint import DIFFUSION, EMBEDDED, VISION, locate, read_part
from glm_core.decoder import DiTConfig
from glm_core.evaluation import Ablation, Task, draw_pictures, picture_jobs, rotate
from glm_core.evaluation.suites.posters import measure, summary, tasks
from glm_core.glyph import quoted_texts
from glm_core.images import to_image
from glm_core.ocr import make_reader
from glm_core.pipeline import LoadedPlanner, PlanRequest, RenderRequest, RenderSettings, load, load_planner, render
from glm_core.planner import plan_prompt
from glm_core.plans import Plan
from glm_core.posters import (
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
    held_out_edit,
    held_out_poster,
    random_edit,
    word_cells,
)
from glm_core.training.pixels import to_tensor
from glm_core.vision import tokenize
from tests.decoder.test_colours import preview
from tests.support.compute import CPU
from tests.support.hosts import PACK
from tests.support.ocr import needs_ocr
from tests.support.tasks import task_of

MEBIBYTE = 2**20
ON_GRID = [held_out_poster(random.Random(i)) for i in range(24)]
POSTERS = ON_GRID[:8]
FREE = [held_out_poster(random.Random(i), Style(free=True)) for i in range(8)]
IN_CHINESE = [held_out_poster(random.Random(i), Style(free=i % 2 > 0, chinese=True)) for i in range(8)]
WITH_SERIFS = [replace(poster, font="serif") for poster in (*ON_GRID[:4], *IN_CHINESE[:4:2])]
LOOKAHEAD = 8  # the plans of one token a pass, in less time
TEMPLATE, SETTINGS = PlanRequest("", SIDE, SIDE, look_ahead=LOOKAHEAD), RenderSettings(steps=4, guidance=1.5)
ZONES_PAGE = PACK / "web" / "docs" / "GLMImagePromptCheck.md"
NAMES: list[tuple[str, ...]] = list(CELL_CODES)  # what each code shows


@pytest.fixture(scope="module")
def planner():
    return load_planner(EMBEDDED, CPU)


@pytest.fixture(scope="module")
def plans(planner) -> Callable[[Sequence[Poster]], list[Plan]]:
    """Plans of posters, each of which has its place as its seed. The same plan is made once."""
    @functools.cache
    def plan(prompt: str, seed: int) -> Plan:
        return plan_of(planner, prompt, seed=seed, lookahead=LOOKAHEAD)

    return lambda posters: [plan(caption(poster), i) for i, poster in enumerate(posters)]


def render_requests(posters: Sequence[Poster], plans: Sequence[Plan],
                    without: Ablation | None = None) -> list[RenderRequest]:
    jobs = picture_jobs([task_of(poster) for poster in posters], TEMPLATE, SETTINGS, Path(), without)
    drawn = rotate(plans) if without == "plan" else plans
    return [job.to_render(plan) for job, plan in zip(jobs, drawn, strict=True)]


def draw_plans(posters: Sequence[Poster], plans: Sequence[Plan], without: Ablation | None = None) -> list[np.ndarray]:
    rendered = render(EMBEDDED, render_requests(posters, plans, without), CPU)
    return [np.asarray(to_image(result.pictures[0])) for result in rendered]


def draw_tasks(wanted: Sequence[Task], without: Ablation | None = None) -> list[np.ndarray]:
    """Pictures whose plans are made too."""
    return [np.asarray(picture) for picture in draw_pictures(EMBEDDED, wanted, TEMPLATE, SETTINGS, CPU, without)]


@pytest.fixture(scope="module")
def pictures(plans):
    return draw_plans(POSTERS, plans(POSTERS))


@pytest.fixture(scope="module")
def pictures_with_serifs(plans):
    return draw_plans(WITH_SERIFS, plans(WITH_SERIFS))


@pytest.fixture(scope="module")
def reader():
    return make_reader()


@pytest.fixture(scope="module")
def figures(pictures, reader) -> dict:
    return figures_of(POSTERS, pictures, reader)


def difference(picture: np.ndarray, poster) -> float:
    """From the poster as the program draws it, in levels of 255."""
    return np.abs(picture.astype(int) - np.asarray(draw_poster(poster)).astype(int)).mean()


def test_it_is_small_and_says_what_it_is():
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40 * MEBIBYTE
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jsonl", ".md", ".png"}
    assert "word accuracy" in (EMBEDDED / "README.md").read_text(encoding="utf-8")


def plan_of(planner: LoadedPlanner, prompt: str, **options) -> Plan:
    return plan_prompt(planner.model, planner.tokenizer, prompt, SIDE, SIDE, **options)


def wanted_codes(poster: Poster, prompt: str) -> list[list[int]]:
    """Without the letters that the prompt's quoted texts already say."""
    return cell_codes(poster, quoted_texts(prompt))


@pytest.mark.parametrize("posters, step", [(ON_GRID, 1), (IN_CHINESE, 2)], ids=["english", "chinese"])
def test_plans_of_held_out_prompts_spell_the_words(plans, posters, step):
    """step: from one poster on the grid to the next."""
    right = []
    for plan, poster in [*zip(plans(posters), posters)][::step]:
        ids, wanted = plan.ids[0].tolist(), wanted_codes(poster, caption(poster))
        for word in poster.words:
            right.append(all(ids[row][column] == wanted[row][column] for row, column in word_cells(word)))
    assert np.mean(right) >= 0.95


class PlacedLetter(NamedTuple):
    """A letter that a plan shows: its position is that of its top left corner, in half tokens."""

    colour: str
    size: str
    y: int
    x: int
    letter: str


def placed_letters(ids: list[list[int]]) -> list[PlacedLetter]:
    """The letters of a plan, sorted by colour and size, then row by row."""
    letters = []
    for row, line in enumerate(ids):
        for column, code in enumerate(line):
            name = NAMES[code]
            if name[0] == "letter":
                _, letter, colour, size, part_x, part_y = name
                y, x = 2 * row + 1 - int(part_y[1]), 2 * column + 1 - int(part_x[1])
                letters.append(PlacedLetter(colour, size, y, x, letter))
    return sorted(letters)


def follows(letter: PlacedLetter, previous: PlacedLetter | None) -> bool:
    """Whether two letters are alike and one pitch apart in a row."""
    if previous is None or letter[:3] != previous[:3]:
        return False
    return letter.x - previous.x == WORD_PITCH[letter.size] // STEP


def words_in_rows(ids: list[list[int]]) -> set[str]:
    """The words that a plan spells, row by row."""
    words, previous = [], None
    for letter in placed_letters(ids):
        if follows(letter, previous):
            words[-1] += letter.letter
        else:
            words.append(letter.letter)
        previous = letter
    return set(words)


def test_plans_of_free_posters_spell_the_words_at_even_steps(plans):
    right = []
    for plan, poster in zip(plans(FREE), FREE):
        spelled, quoted = words_in_rows(plan.ids[0].tolist()), quoted_texts(caption(poster))
        right += ["".join(ambiguous_letters(text, quoted)) in spelled for text in quoted]
    assert np.mean(right) >= 0.85


@pytest.mark.parametrize("example, word, cells", [
    (-2, "COFFEE", {(1, 1): ("letter", "C", "red"), (3, 3): ("shape", "circle", "green"),
                    (6, 2): ("letter", "O", "blue")}),
    (-1, "春天", {(1, 3): ("letter", "春日", "red"), (3, 3): ("shape", "circle", "blue"),
                (6, 6): ("shape", "square", "green")}),
])
def test_examples_of_zones_on_a_help_page_are_planned_as_they_say(planner, example, word, cells):
    prompt = re.findall(r"^```\n(.+)\n```$", ZONES_PAGE.read_text(encoding="utf-8"), re.MULTILINE)[example]
    ids = plan_of(planner, prompt, seed=0).ids[0].tolist()
    assert "".join(ambiguous_letters(word, quoted_texts(prompt))) in words_in_rows(ids)
    assert {(row, column): NAMES[ids[row][column]][:3] for row, column in cells} == cells


def test_looking_ahead_needs_fewer_passes_for_the_same_plan(planner):
    passes = []
    hook = planner.model.register_forward_hook(lambda *_: passes.append(1))
    counts = []
    for i, poster in enumerate(POSTERS[:4]):
        plans = []
        for lookahead in (1, LOOKAHEAD):
            passes.clear()
            plans.append(plan_of(planner, caption(poster), seed=i, lookahead=lookahead))
            counts.append(len(passes))
        assert torch.equal(plans[0].ids, plans[1].ids) and torch.equal(plans[0].coarse, plans[1].coarse)
    hook.remove()
    assert sum(counts[0::2]) >= 1.5 * sum(counts[1::2])


def nearest(picture: np.ndarray) -> int:
    """The poster that the picture is most like."""
    return min(range(len(POSTERS)), key=lambda i: difference(picture, POSTERS[i]))


def test_pictures_are_the_posters_of_their_prompts(pictures):
    assert [nearest(picture) for picture in pictures] == list(range(len(POSTERS)))
    assert all(difference(picture, poster) < 12 for picture, poster in zip(pictures, POSTERS))


def test_the_preview_of_a_finished_latent_is_close_to_the_small_picture(plans):
    """Of every poster: at most 25 levels of 255 off in the mean."""
    config = DiTConfig.from_json(read_part(locate(EMBEDDED, DIFFUSION), DIFFUSION).config, "test")
    for result in render(EMBEDDED, render_requests(POSTERS[:3], plans(POSTERS[:3])), CPU):
        shown = preview(config.latents_rgb, result.latent).clamp(-1, 1) / 2 + 0.5
        small = F.avg_pool2d(result.pictures.movedim(-1, 1), 8)
        assert (shown - small).abs().mean() * 255 <= 25


def test_letters_have_serifs_where_the_prompt_says_so(pictures, pictures_with_serifs):
    english = WITH_SERIFS[:4]  # drawing Chinese needs its fonts
    for picture, poster in (*zip(pictures_with_serifs, english), *zip(pictures, POSTERS)):
        other = replace(poster, font="" if poster.font else "serif")
        assert difference(picture, poster) < difference(picture, other), caption(poster)


@needs_ocr
@pytest.mark.parametrize("posters, least", [(FREE[:6], 0.8), (IN_CHINESE[:6], 0.8)], ids=["free", "chinese"])
def test_held_out_words_come_out_as_written(plans, reader, posters, least):
    assert_words_and_shapes(figures_of(posters, draw_plans(posters, plans(posters)), reader), least)


@needs_ocr
def test_held_out_words_come_out_as_written_on_the_grid_and_with_serifs(figures, pictures_with_serifs, reader):
    assert_words_and_shapes(figures, 0.9)
    assert_words_and_shapes(figures_of(WITH_SERIFS, pictures_with_serifs, reader), 0.8)


def figures_of(posters, drawn, reader) -> dict:
    images = [Image.fromarray(picture) for picture in drawn]
    return summary([measure(task_of(poster), image, reader) for poster, image in zip(posters, images)])


def assert_words_and_shapes(figures: dict, least: float) -> None:
    assert figures["word_accuracy"] >= least and figures["shape_accuracy"] >= 0.9


def test_another_prompts_plan_draws_the_other_poster(plans):
    posters = POSTERS[:4]
    assert [nearest(picture) for picture in draw_plans(posters, plans(posters), "plan")] == [1, 2, 3, 0]


@needs_ocr
def test_dropping_the_glyphs_breaks_the_words_and_keeps_the_layout(plans, figures, reader):
    """The plan does not fix which of two letters is meant when the quoted text already says so."""
    posters = POSTERS[:4]
    drawn = draw_plans(posters, plans(posters), "glyphs")
    without = figures_of(posters, drawn, reader)
    assert figures["word_accuracy"] >= 0.9 and without["word_accuracy"] <= 0.5 and without["shape_accuracy"] >= 0.9
    assert [nearest(picture) for picture in drawn] == list(range(len(posters)))


def test_plans_without_a_coarse_grid_are_drawn():
    drawn = draw_tasks([task_of(poster) for poster in POSTERS[:2]], "preview")
    assert [nearest(picture) for picture in drawn] == [0, 1]


def test_the_tower_reads_posters_and_the_planner_edits_them(planner):
    vision = load(EMBEDDED, VISION, CPU)
    read, edited = [], []
    for i in range(8):
        rng = random.Random(i)
        edit = random_edit(rng, rng.choice((0, 4)))
        tokens = tokenize(vision, to_tensor([draw_poster(edit.before)]), CPU.device, CPU.dtype)
        read.append((tokens.ids[0] == torch.tensor(cell_codes(edit.before))).float().mean().item())
        plan = plan_of(planner, edit.sentence, seed=i, references=[tokens], lookahead=LOOKAHEAD)
        edited.append((plan.ids[0] == torch.tensor(wanted_codes(edit.after, edit.sentence))).float().mean().item())
    assert np.mean(read) >= 0.95 and np.mean(edited) >= 0.9


def test_an_edited_picture_is_the_poster_after_its_edit():
    first = tasks(EMBEDDED / "held_out_edits.jsonl", 4)
    rng = random.Random("edits")  # as they were written
    edits = [held_out_edit(rng, i % 2 > 0) for i in range(len(first))]
    assert [edit.sentence for edit in edits] == [task.prompt for task in first]
    nearer = [difference(picture, edit.after) < difference(picture, edit.before)
              for picture, edit in zip(draw_tasks(first), edits)]
    assert np.mean(nearer) >= 0.75
