from contextlib import contextmanager
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from glm_core.evaluation import ABLATIONS, Ablation, Task, draw_pictures, measure_pictures, rotate
from glm_core.evaluation.run import plan_requests, render_requests
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


def test_each_request_has_its_own_seed_for_plan_and_noise():
    requests = plan_requests(TASKS, PlanRequest("", 64, 96, seed=7), [()] * 3)
    assert [(request.prompt, request.width, request.height, request.seed) for request in requests] == [
        ("a 'sign'", 64, 96, 7), ("b 'sign'", 64, 96, 8), ("c", 64, 96, 9)]
    drawn = render_requests(requests, plans(), RenderSettings(), None)
    assert [request.settings.seed for request in drawn] == [7, 8, 9]


def plans() -> list[Plan]:
    return [Plan(torch.full((1, 3, 2), i)) for i in range(3)]


def test_ablations_change_nothing_but_their_component():
    requests = plan_requests(TASKS, PlanRequest("", 64, 96), [()] * 3)
    whole = render_requests(requests, plans(), ONE_STEP, None)
    other_plans = render_requests(requests, plans(), ONE_STEP, "plan")
    no_glyphs = render_requests(requests, plans(), ONE_STEP, "glyphs")
    assert [int(request.plan.ids[0, 0, 0]) for request in whole] == [0, 1, 2]
    assert [int(request.plan.ids[0, 0, 0]) for request in other_plans] == [1, 2, 0]
    assert [int(request.plan.ids[0, 0, 0]) for request in no_glyphs] == [0, 1, 2]
    assert [request.prompt for request in whole] == [task.prompt for task in TASKS]
    assert [request.prompt for request in other_plans] == [task.prompt for task in TASKS]
    assert [request.prompt for request in no_glyphs] == [""] * 3
    assert [request.settings for request in whole] == [request.settings for request in other_plans]
    assert [request.settings for request in whole] == [request.settings for request in no_glyphs]


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
