"""The measures of planner and decoder, on plans and pictures whose figures are known."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from glm_core.pipeline import Compute, LoadedPlanner
from glm_core.plans import Plan
from glm_core.posters import CELL_CODES, draw_poster
from glm_core.rl import measure
from glm_core.rl.held_out import decoder_tasks, planner_tasks
from glm_core.rl.measure import Look, measure_decoder, measure_planner
from tests.support.posters import needs_chinese_fonts, with_grid


class DrawnPictures:
    """In place of a decoder: draws the tasks' posters, changed."""

    def __init__(self, tasks, change=lambda task: task.poster, spoil=lambda picture: picture):
        self.pictures = [spoil(draw_poster(change(task))) for task in tasks]

    def draw(self, plan, prompt, seed):
        return self.pictures[seed]


def reader_of(tasks):
    """In place of OCR: reads the tasks' words, one task after the other."""
    texts = iter(tasks)
    return lambda pixels: next(texts).words


def totals(shares, row):
    return {column: tuple(map(sum, zip(*counts))) for column, counts in shares[row].items()}


def measured(tasks, **options):
    return measure_decoder(Look(DrawnPictures(tasks, **options), reader_of(tasks)), tasks)


@needs_chinese_fonts
def test_drawn_posters_have_everything_right_and_no_faint_edges():
    tasks = decoder_tasks("choose", 4)
    shares = measured(tasks)
    assert list(shares) == ["english sans", "english serif", "chinese sans", "chinese serif", "all kinds"]
    for row in shares:
        found = totals(shares, row)
        assert found["faint edges"][0] == 0 and found["faint edges"][1] > 4 * 20000
        assert all(right == total for name, (right, total) in found.items() if name != "faint edges")
        assert ("letters in font" in found) == (not row.startswith("english"))
    assert totals(shares, "chinese serif")["posters in font"] == (4, 4)


@needs_chinese_fonts
def test_chinese_letters_of_the_wrong_font_are_seen():
    tasks = [task for task in decoder_tasks("choose", 4) if task.kind.startswith("chinese")]
    shares = measured(tasks, change=lambda task: replace(task.poster, font="" if task.poster.font else "serif"))
    for kind in ("chinese sans", "chinese serif"):
        assert totals(shares, kind)["letters in font"][0] == totals(shares, kind)["posters in font"][0] == 0


def test_wrong_words_and_shapes_are_counted():
    tasks = [task for task in decoder_tasks("choose", 6) if task.kind == "english sans"]
    empty = DrawnPictures(tasks, change=lambda task: replace(task.poster, items=()))
    shares = measure_decoder(Look(empty, lambda pixels: []), tasks)
    found = totals(shares, "all kinds")
    assert found["words read"] == (0, sum(len(task.words) for task in tasks))
    assert found["shapes"] == (0, sum(len(task.shapes) for task in tasks)) and found["shapes"][1] > 0


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_a_faint_grid_is_seen(levels):
    tasks = [task for task in decoder_tasks("choose", 4) if task.kind == "english sans"]
    faint, flat = totals(measured(tasks, spoil=partial(with_grid, levels=levels)), "all kinds")["faint edges"]
    assert 0.18 < faint / flat < 0.25


@pytest.fixture
def planned(monkeypatch):
    """Plans that ``measure_planner`` gets in place of the planner's: by task, sampling and number."""
    seeds = []

    def use(tasks, ids_of):
        by_prompt = {task.prompt: task for task in tasks}
        monkeypatch.setattr(measure, "lay_out_prompt", lambda tokenizer, config, prompt, *size: prompt)

        def generate(model, prompt, batch, seed, sampling, **options):
            seeds.append((seed, sampling.temperature))
            return Plan(torch.cat([ids_of(by_prompt[prompt], sampling, i) for i in range(batch)]))

        monkeypatch.setattr(measure, "generate_plan", generate)
        return seeds

    return use


class Model:
    config = None


def twice(tasks):
    """In the order in which pictures of their plans are read, one for each sampling."""
    return [task for task in tasks for _ in range(2)]


PLANNER = LoadedPlanner(Model(), None)
CPU = Compute(torch.device("cpu"), torch.float32)


def test_plans_are_counted_by_sampling_and_kind(planned):
    def ids_of(task, sampling, i):
        ids = task.plan.ids.clone()
        if sampling.top_p == 1 and i == 0:
            ids[0, 0, 0] = CELL_CODES["some shape", "circle", "red"]
        return ids

    tasks = planner_tasks("choose", 3, ["grid", "three words"])
    seeds = planned(tasks, ids_of)
    shares = measure_planner(PLANNER, CPU, tasks, 2, Look(DrawnPictures(tasks), reader_of(twice(tasks))))
    assert list(shares) == ["grid, default", "grid, T 1", "three words, default", "three words, T 1",
                            "all kinds, default", "all kinds, T 1"]
    assert totals(shares, "three words, default") == {"words": (18, 18), "whole plans": (6, 6), "words read": (9, 9),
                                                      "shapes": (0, 0)}
    assert totals(shares, "three words, T 1")["whole plans"] == (3, 6)
    assert totals(shares, "all kinds, T 1")["whole plans"] == (6, 12)
    assert [seed for seed, _ in seeds] == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10]


def test_a_task_without_a_poster_is_measured_by_its_picture_alone(planned):
    (task,) = planner_tasks("choose", 1, ["grid"])
    planned([task], lambda task, sampling, i: task.plan.ids)
    look = Look(DrawnPictures([task]), reader_of(twice([task])))
    shares = measure_planner(PLANNER, CPU, [replace(task, poster=None)], 1, look)
    assert set(shares["grid, default"]) == {"words read", "shapes"}
    assert totals(shares, "grid, T 1")["words read"] == (len(task.words), len(task.words))


def test_edits_are_measured_by_their_codes_alone(planned):
    tasks = planner_tasks("choose", 2, ["edits"])
    planned(tasks, lambda task, sampling, i: task.plan.ids)
    shares = measure_planner(PLANNER, CPU, tasks, 1, Look(DrawnPictures(tasks), reader_of(twice(tasks))))
    assert set(shares["edits, default"]) == {"words", "whole plans"}
