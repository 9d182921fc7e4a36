"""Drawing the pictures that are not there yet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import GLMImageError
from ..images import to_image
from ..pipeline import Compute, PlanRequest, Progress, RenderRequest, RenderSettings, no_progress, plan, render
from ..pipeline.requests import with_seeds
from .base import Case
from .pictures import find_picture, join, read_cells, save_picture

CELLS = "cells"  # folder of single images that are put together once all of a picture are there


@dataclass(frozen=True)
class ImageJob:
    """An image to draw, and the PNG file to which it goes."""

    path: Path
    request: PlanRequest


def missing_cases(folder: Path, cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if find_picture(folder, case) is None]


def draw_missing(folder: Path, cases: Sequence[Case], model: Path, template: PlanRequest, settings: RenderSettings,
                 compute: Compute, progress: Progress = no_progress) -> None:
    """Draw the pictures of the cases that are not there. Image i of all cases has the template's seed + i, or, if plans
    are chosen from n each, + i * n, whichever images are there already.
    """
    missing = missing_cases(folder, cases)
    names = {case.name for case in missing}
    images = [image for case, of_case in zip(cases, all_images(folder, cases, template)) if case.name in names
              for image in of_case if not image.path.exists()]
    draw_images(images, model, settings, compute, progress)
    for case in missing:
        put_together(folder, case)


def all_images(folder: Path, cases: Sequence[Case], template: PlanRequest) -> list[list[ImageJob]]:
    """The images of each case."""
    requests = [replace(template, prompt=case.prompt) for case in cases for _ in range(case.cells)]
    seeded = iter(with_seeds(requests, template.seed))
    return [[ImageJob(path, next(seeded)) for path in cell_paths(folder, case)] for case in cases]


def cell_paths(folder: Path, case: Case) -> list[Path]:
    """Where the images of a case are drawn: at once in its own place if they need not be put together."""
    own = folder / case.name
    if case.cells == 1 and own.suffix == ".png":
        return [own]
    return [folder / CELLS / f"{own.stem}-{i}.png" for i in range(case.cells)]


def draw_images(images: Sequence[ImageJob], model: Path, settings: RenderSettings, compute: Compute,
                progress: Progress) -> None:
    """Write each image as soon as it is there. Raises GLMImageError if its numbers are not finite."""
    requests = [image.request for image in images]
    plans = plan(model, requests, compute, progress) if images else []
    to_render = [RenderRequest.of(request, plan, settings) for request, plan in zip(requests, plans, strict=True)]
    rendered = render(model, to_render, compute, progress) if images else []
    for image, result in zip(images, rendered, strict=True):
        if not result.pictures.isfinite().all():
            raise GLMImageError(f"{image.path}: the model gave NaN or infinity; 'python -m glm_core check DIR' "
                                "examines it")
        save_picture(to_image(result.pictures[0]), image.path)


def put_together(folder: Path, case: Case) -> None:
    """Make a case's picture of its single images, which are then deleted."""
    paths = cell_paths(folder, case)
    if paths == [folder / case.name]:
        return
    save_picture(join([read_cells(path, 1)[0] for path in paths]), folder / case.name)
    for path in paths:
        path.unlink()
