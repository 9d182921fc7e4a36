"""Tasks → requests → plans → pictures → results. An ablation disables one component on the way."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

from PIL import Image

from ..images import read_image, to_image
from ..ocr import Reader
from ..pipeline import (
    Compute,
    PlanRequest,
    Progress,
    ReferenceImage,
    RenderRequest,
    RenderSettings,
    no_progress,
    plan,
    read_references,
    render,
    with_seeds,
)
from ..plans import Plan
from .tasks import Task

Ablation = Literal["plan", "glyphs", "preview"]  # with the next task's plan; without quoted texts; without coarse grids
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)

Element = TypeVar("Element")
AnyTask = TypeVar("AnyTask", bound=Task)
Result = TypeVar("Result")


def draw_pictures(model: Path, tasks: Sequence[Task], template: PlanRequest, settings: RenderSettings, compute: Compute,
                  without: Ablation | None = None, progress: Progress = no_progress) -> list[Image.Image]:
    """One picture for each task. Plan and noise of picture i have the template's seed + i; if plans are chosen from
    n each, + i * n.

    template: what all requests share, such as size and sampling; prompt and references are each task's own.
    without: the component that is disabled, if any.
    Raises GLMImageError on a reference image that cannot be read, and OSError if there is no such file.
    """
    images = [[read_image(path) for path in task.images] for task in tasks]
    references = read_references(model, images, compute, progress)
    template = replace(template, batch=1, coarse=template.coarse and without != "preview")
    requests = plan_requests(tasks, template, references)
    plans = plan(model, requests, compute, progress)
    rendered = render(model, render_requests(requests, plans, settings, without), compute, progress)
    return [to_image(result.pictures[0]) for result in rendered]


def plan_requests(tasks: Sequence[Task], template: PlanRequest,
                  references: Sequence[tuple[ReferenceImage, ...]]) -> list[PlanRequest]:
    """One request per task, with a seed of its own."""
    requests = [replace(template, prompt=task.prompt, references=images)
                for task, images in zip(tasks, references, strict=True)]
    return with_seeds(requests, template.seed)


def render_requests(requests: Sequence[PlanRequest], plans: Sequence[Plan], settings: RenderSettings,
                    without: Ablation | None) -> list[RenderRequest]:
    """One request per plan, with the ablation, if any, of plans or glyphs."""
    if without == "plan":
        plans = rotate(plans)
    to_render = [RenderRequest.of(request, plan, settings) for request, plan in zip(requests, plans, strict=True)]
    if without == "glyphs":
        to_render = [replace(request, prompt="") for request in to_render]
    return to_render


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
