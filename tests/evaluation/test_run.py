from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from glm_core.evaluation import ABLATIONS, Ablation, Task, draw_pictures, measure_pictures, picture_jobs, rotate
from glm_core.pipeline import PlanRequest, RenderSettings
from glm_core.plans import Plan
from tests.support.compute import CPU
from tests.support.tiny import small_checkpoint

TEMPLATE, ONE_STEP = PlanRequest("", 64, 64), RenderSettings(steps=1)
TASKS = [Task("a 'sign'", ("sign",)), Task("b 'sign'", ("sign",)), Task("c", ())]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


def test_pictures_of_a_task_are_edited(model, tmp_path):
    Image.effect_noise((96, 64), 90).save(tmp_path / "noise.png")
    Image.new("RGB", (64, 96), "red").save(tmp_path / "red.png")
    drawn = []
    for names in ([], ["noise.png"], ["red.png"], ["noise.png", "red.png"]):
        tasks = [Task("a 'sign'", ("sign",), images=tuple(tmp_path / name for name in names)), Task("b", ())]
        drawn.append([picture.tobytes() for picture in draw_pictures(model, tasks, TEMPLATE, ONE_STEP, CPU)])
    edited, others = (set(pictures) for pictures in zip(*drawn))
    assert len(edited) == 4 and len(others) == 1


def test_every_ablation_draws_other_pictures(model):
    drawn = {tuple(picture.tobytes() for picture in draw_pictures(model, TASKS[:2], TEMPLATE, ONE_STEP, CPU, without))
             for without in (None, *ABLATIONS)}
    assert len(drawn) == 1 + len(ABLATIONS) == 1 + len(get_args(Ablation))


def jobs(without: Ablation | None = None):
    return picture_jobs(TASKS, PlanRequest("", 64, 96, seed=7), ONE_STEP, Path("out"), without)


def test_each_job_has_its_own_file_and_its_own_seed_for_plan_and_noise():
    assert [(str(job.path), job.request.prompt, job.request.width, job.request.height, job.request.seed)
            for job in jobs()] == [("out/00000.png", "a 'sign'", 64, 96, 7), ("out/00001.png", "b 'sign'", 64, 96, 8),
                                   ("out/00002.png", "c", 64, 96, 9)]
    assert [job.to_render(plan).settings.seed for job, plan in zip(jobs(), plans())] == [7, 8, 9]


def plans() -> list[Plan]:
    return [Plan(torch.full((1, 3, 2), i)) for i in range(3)]


def test_ablations_change_nothing_but_their_component():
    whole, other_plans, no_glyphs, no_coarse = (jobs(without) for without in (None, "plan", "glyphs", "preview"))
    assert [job.planned for job in whole] == whole
    assert [job.planned for job in other_plans] == rotate(whole)
    assert [replace(job, plan_of=None) for job in other_plans] == whole
    assert [replace(job, has_glyphs=True) for job in no_glyphs] == whole
    assert [replace(job, request=replace(job.request, coarse=True)) for job in no_coarse] == whole
    assert not any(job.has_glyphs for job in no_glyphs) and not any(job.request.coarse for job in no_coarse)
    assert [job.to_render(plan).prompt for job, plan in zip(no_glyphs, plans())] == [""] * 3
    assert [job.to_render(plan).prompt for job, plan in zip(other_plans, plans())] == [task.prompt for task in TASKS]


def test_rotating_takes_the_next_item():
    assert rotate("abc") == ["b", "c", "a"] and rotate([]) == []


def test_every_picture_is_measured_and_counted():
    counted = []

    @contextmanager
    def progress(title, total, unit):
        counted.append((title, total, unit))
        yield lambda: counted.append(title)

    def measure(task, picture, reader):
        return task.prompt, reader(np.asarray(picture))

    pictures = [Image.new("RGB", (width, 8)) for width in (8, 16)]
    results = measure_pictures(measure, TASKS[:2], pictures, lambda pixels: [str(pixels.shape)], progress)
    assert results == [("a 'sign'", ["(8, 8, 3)"]), ("b 'sign'", ["(8, 16, 3)"])]
    assert counted == [("read", 2, "image"), "read", "read"]
