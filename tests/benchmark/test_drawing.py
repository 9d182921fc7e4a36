"""Drawing the pictures that are missing, with a tiny checkpoint."""

import numpy as np
import pytest
import torch
from PIL import Image

from glm_core.benchmark import Case, Drawing, draw_missing, missing_cases
from glm_core.benchmark.drawing import CELLS, RECORD
from glm_core.errors import GLMImageError
from glm_core.pipeline import Compute, PlanRequest, RenderSettings, Share
from tests.support.benchmarks import write_picture
from tests.support.tiny import small_checkpoint

CPU = Compute(torch.device("cpu"), torch.float32)
TEMPLATE = PlanRequest("", 64, 64, seed=5)
CASES = [Case("CVTG/2/0.png", "a 'sign'", 1), Case("sheet.png", "b", 4), Case("001.webp", "c", 4),
         Case("002.webp", "d", 1)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


def draw(folder, model, cases=CASES, steps=1):
    draw_missing(folder, cases, Drawing(model, TEMPLATE, RenderSettings(steps), CPU))
    return {case.name: np.asarray(Image.open(folder / case.name).convert("RGB")) for case in cases}


def test_all_pictures_are_there_and_nothing_else(tmp_path, model):
    pictures = draw(tmp_path, model)
    assert [picture.shape[:2] for picture in pictures.values()] == [(64, 64), (128, 128), (128, 128), (64, 64)]
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == sorted([RECORD, *(case.name for case in CASES)])
    cells = pictures["sheet.png"].reshape(2, 64, 2, 64, 3).swapaxes(1, 2).reshape(4, -1)
    assert len(np.unique(cells, axis=0)) == 4  # each image has its own seed


def test_missing_pictures_become_the_same_whatever_is_there(tmp_path, model):
    pictures = draw(tmp_path, model)
    kept = write_picture(tmp_path / "again" / "sheet.png", (1, 2, 3)).read_bytes()
    assert [case.name for case in missing_cases(tmp_path / "again", CASES)] == [
        "CVTG/2/0.png", "001.webp", "002.webp"]
    again = draw(tmp_path / "again", model)
    assert (tmp_path / "again" / "sheet.png").read_bytes() == kept
    assert all(np.array_equal(again[name], pictures[name]) for name in pictures if name != "sheet.png")


def test_single_images_that_are_there_are_not_drawn_again(tmp_path, model):
    write_picture(tmp_path / CELLS / "sheet-2.png", (1, 2, 3), side=64)
    picture = draw(tmp_path, model, CASES[1:2])["sheet.png"]
    assert (picture[64:, :64] == (1, 2, 3)).all() and not (picture[:64, :64] == (1, 2, 3)).all()


def test_pictures_of_other_settings_are_not_mixed(tmp_path, model):
    draw(tmp_path, model, CASES[:1])
    with pytest.raises(GLMImageError, match=r"drawn by the same model with the same settings \(got others\)"):
        draw(tmp_path, model, CASES[:1], steps=2)


def test_a_picture_that_is_not_finite_is_an_error(tmp_path, model):
    def write_nothing(model, jobs, compute, progress):
        yield from jobs

    drawing = Drawing(model, TEMPLATE, RenderSettings(1), CPU)
    with pytest.raises(GLMImageError, match=r"sheet-0\.png: the model gave NaN or infinity"):
        draw_missing(tmp_path, CASES[1:2], drawing, write_nothing)


def test_parts_draw_together_what_one_run_draws(tmp_path, model):
    whole = draw(tmp_path / "whole", model)
    drawing = Drawing(model, TEMPLATE, RenderSettings(1), CPU)
    for number in (2, 1):
        draw_missing(tmp_path / "parts", CASES, drawing, share=Share(number, 2))
    assert [case.name for case in missing_cases(tmp_path / "parts", CASES)] == ["sheet.png", "001.webp", "002.webp"]
    parts = draw(tmp_path / "parts", model)
    assert all(np.array_equal(parts[name], whole[name]) for name in whole)
