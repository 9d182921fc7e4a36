"""Tasks → jobs → pictures → results. An ablation disables one component on the way."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar, get_args

from PIL import Image

from ..images import read_image, to_image
from ..ocr import Reader
from ..pipeline import (
    Compute,
    Job,
    PlanRequest,
    Progress,
    RenderSettings,
    draw_jobs,
    no_progress,
    with_seeds,
)
from .tasks import Task

Ablation = Literal["plan", "glyphs", "preview"]  # with the next task's plan; without quoted texts; without coarse grids
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)

Element = TypeVar("Element")
AnyTask = TypeVar("AnyTask", bound=Task)
Result = TypeVar("Result")


def draw_pictures(model: Path, tasks: Sequence[Task], template: PlanRequest, settings: RenderSettings, compute: Compute,
                  without: Ablation | None = None, progress: Progress = no_progress) -> list[Image.Image]:
    """One picture for each task, as ``picture_jobs`` describes it.

    Raises GLMImageError on a reference image that cannot be read, and if the model gives NaN or infinity.
    """
    with TemporaryDirectory() as folder:
        jobs = picture_jobs(tasks, template, settings, Path(folder), without)
        for _ in draw_jobs(model, jobs, compute, progress):
            pass
        return read_pictures(jobs)


def picture_jobs(tasks: Sequence[Task], template: PlanRequest, settings: RenderSettings, folder: Path,
                 without: Ablation | None = None) -> list[Job]:
    """One job for each task. Plan and noise of picture i have the template's seed + i; if plans are chosen from n
    each, + i * n.

    template: what all requests share, such as size and sampling; prompt and references are each task's own.
    without: the component that is disabled, if any.
    """
    template = replace(template, batch=1, coarse=template.coarse and without != "preview")
    requests = with_seeds([replace(template, prompt=task.prompt) for task in tasks], template.seed)
    jobs = [Job(folder / f"{i:05d}.png", request, settings, task.images, has_glyphs=without != "glyphs")
            for i, (request, task) in enumerate(zip(requests, tasks))]
    return [replace(job, plan_of=other) for job, other in zip(jobs, rotate(jobs))] if without == "plan" else jobs


def read_pictures(jobs: Sequence[Job]) -> list[Image.Image]:
    """The pictures of jobs that are done. Raises GLMImageError if one is missing, as those that are not finite are."""
    return [to_image(read_image(path)[0]) for job in jobs for path in job.paths]


def rotate(items: Sequence[Element]) -> list[Element]:
    """The list rotated by one: every item is replaced by the next, the last by the first."""
    return [*items[1:], *items[:1]]


def measure_pictures(measure: Callable[[AnyTask, Image.Image, Reader], Result], tasks: Sequence[AnyTask],
                     pictures: Sequence[Image.Image], reader: Reader, progress: Progress = no_progress) -> list[Result]:
    """The result of a suite's ``measure`` for each picture."""
    results = []
    with progress("read", len(pictures), "image") as advance:
        for task, picture in zip(tasks, pictures, strict=True):
            results.append(measure(task, picture, reader))
            advance()
    return results
