"""Tasks → requests → plans → pictures → results. An ablation disables one component, between plans and pictures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

from PIL import Image

from ..images import read_image, to_image
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
from .ocr import Reader
from .tasks import Task

Ablation = Literal["plan", "glyphs", "preview"]  # draw the next task's plan, no quoted texts, no coarse grid
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)

Element = TypeVar("Element")
AnyTask = TypeVar("AnyTask", bound=Task)
Result = TypeVar("Result")


def draw_pictures(model: Path, tasks: Sequence[Task], template: PlanRequest, settings: RenderSettings, compute: Compute,
                  without: Ablation | None = None, progress: Progress = no_progress) -> list[Image.Image]:
    """One picture of each task. Picture i is planned with, and starts from noise of, the template's seed + i.

    template: what all requests share, such as size and sampling; prompt and references are each task's own.
    without: the component that is disabled. Without "plan", each task is drawn from the plan of the next one.
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
    """One request for each task, with seeds that no two pictures share."""
    requests = [replace(template, prompt=task.prompt, references=images)
                for task, images in zip(tasks, references, strict=True)]
    return with_seeds(requests, template.seed)


def render_requests(requests: Sequence[PlanRequest], plans: Sequence[Plan], settings: RenderSettings,
                    without: Ablation | None) -> list[RenderRequest]:
    if without == "plan":
        plans = rotate(plans)
    drawn = [RenderRequest.of(request, plan, settings) for request, plan in zip(requests, plans, strict=True)]
    if without == "glyphs":
        drawn = [replace(request, prompt="") for request in drawn]
    return drawn


def rotate(items: Sequence[Element]) -> list[Element]:
    """Rotate the list by one: each item's place is taken by the next one."""
    return [*items[1:], *items[:1]]


def measure_pictures(measure: Callable[[AnyTask, Image.Image, Reader], Result], tasks: Sequence[AnyTask],
                     pictures: Sequence[Image.Image], reader: Reader, progress: Progress = no_progress) -> list[Result]:
    """What a suite's ``measure`` says of each picture."""
    results = []
    with progress("read", len(pictures), "image") as advance:
        for task, picture in zip(tasks, pictures, strict=True):
            results.append(measure(task, picture, reader))
            advance()
    return results
