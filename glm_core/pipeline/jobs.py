"""Many requests → picture files. An interrupted run is resumed, and several processes may share the work.

jobs → ``plan_jobs`` → render requests → ``render_jobs`` → PNG files. One process takes a chunk of jobs through both,
and then the next chunk (``draw_jobs``); ``cluster`` has a pool of workers for each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import GLMImageError
from ..files import check_file
from ..images import read_image, to_image
from ..plans import Plan
from ..plans.png import read_text_chunk, write_png
from .parts import Compute, Loaders, model_tag
from .requests import PlanRequest, ReferenceImage, RenderRequest, RenderSettings, check_count
from .run import Progress, no_progress, plan, read_references, render

CHUNK = 32  # jobs
SUFFIX = ".png"
KEYWORD = "glm_image_job"  # of the text chunk that says what a picture was drawn from
MOST_DESCRIPTION = 2**20  # bytes


@dataclass(frozen=True)
class Job:
    """Pictures of a request, one file each.

    path: of the first picture, a PNG; further ones of a batch get -1, -2, … before the suffix.
    settings: the seed of the noise is that of the request.
    images: files of the request's reference images; their paths become absolute.
    plan_of: the job whose plan is drawn, if it is not this one's own.
    has_glyphs: whether quoted texts are encoded.
    Raises GLMImageError if the file is no PNG, or if the request has references of its own.
    """

    path: Path
    request: PlanRequest
    settings: RenderSettings = RenderSettings()
    images: tuple[Path, ...] = ()
    plan_of: Job | None = None
    has_glyphs: bool = True

    def __post_init__(self) -> None:
        if self.path.suffix != SUFFIX:
            raise GLMImageError(f"the file of a picture must end with {SUFFIX} (got {self.path})")
        if self.request.references:
            raise GLMImageError("a job's reference images must be given as files (got images)")
        object.__setattr__(self, "images", tuple(path.absolute() for path in self.images))

    @property
    def paths(self) -> list[Path]:
        return [picture_path(self.path, i) for i in range(self.request.batch)]

    @property
    def planned(self) -> Job:
        """The job whose plan is drawn."""
        return self.plan_of or self

    def to_render(self, plan: Plan, references: tuple[ReferenceImage, ...] = ()) -> RenderRequest:
        """What is drawn of a plan of ``planned``. references: those of the own ``images``."""
        request = RenderRequest.of(replace(self.request, references=references), plan, self.settings)
        return request if self.has_glyphs else replace(request, prompt="")

    def description(self, tag: str) -> str:
        """What decides the pictures, as JSON in ASCII. tag: that of the model, see ``model_tag``."""
        settings = asdict(replace(self.settings, seed=self.request.seed))
        return json.dumps({"model": tag, **describe(self), "settings": settings, "glyphs": self.has_glyphs,
                           "plan_of": describe(self.plan_of) if self.plan_of else None})


def describe(job: Job) -> dict[str, Any]:
    """What decides a job's plan. The number of tokens tried in a pass does not."""
    request = replace(job.request, look_ahead=1)
    return {"request": asdict(request), "images": [image.name for image in job.images]}


def picture_path(out: Path, i: int) -> Path:
    """The file of picture i: ``out``, and from the second on with -1, -2, … before the suffix."""
    return out.with_stem(f"{out.stem}-{i}") if i else out


@dataclass(frozen=True)
class Share:
    """Every ``count``-th job from job ``number`` on, counted from 1: what one of ``count`` processes draws."""

    number: int
    count: int

    def __post_init__(self) -> None:
        check_count("part", self.count)
        if not 1 <= self.number <= self.count:
            raise GLMImageError(f"--part must be from 1/{self.count} to {self.count}/{self.count} "
                                f"(got {self.number}/{self.count})")

    def of(self, jobs: Sequence[Job]) -> list[Job]:
        return list(jobs[self.number - 1 :: self.count])


class Drawing(NamedTuple):
    """A job's pictures as bytes of PNG files, by their paths; without those whose numbers are not finite."""

    job: Job
    files: dict[Path, bytes]

    def save(self) -> Job:
        """Write the pictures, so that no file is ever there in part. An old file of one that is missing is deleted."""
        for path in self.job.paths:
            if path not in self.files:
                path.unlink(missing_ok=True)
        for path, data in self.files.items():
            unfinished = path.with_name(f"{path.name}.part")
            unfinished.write_bytes(data)
            os.replace(unfinished, path)
        return self.job


DrawJobs = Callable[[Path, Sequence[Job], Compute, Progress], Iterator[Job]]  # such as ``draw_jobs``


def unfinished_jobs(model: Path, jobs: Sequence[Job], compute: Compute) -> list[Job]:
    """The jobs with a picture that is not there yet.

    Raises GLMImageError if a file that is there was not drawn from its job by this model.
    """
    tag = model_tag(model, compute)
    return [job for job in jobs if not all(is_drawn(path, job.description(tag)) for path in job.paths)]


def is_drawn(path: Path, description: str) -> bool:
    """Whether the picture is there. Raises GLMImageError if it was drawn from anything else."""
    if not path.exists():
        return False
    found = read_text_chunk(check_file(path, str(path)), KEYWORD, MOST_DESCRIPTION, str(path))
    if found != description.encode():
        raise GLMImageError(f"{path}: to resume, it must be a picture of the same prompt, settings and model "
                            f"(got {'another' if found else 'one that does not say'})")
    return True


def draw_jobs(model: Path, jobs: Sequence[Job], compute: Compute, progress: Progress = no_progress,
              chunk: int = CHUNK) -> Iterator[Job]:
    """Write the pictures of the jobs; each job is given once its files are there.

    ``chunk`` jobs at a time are planned, and then drawn. What a job gives does not depend on those beside it.
    A picture that is not finite is not written. Raises GLMImageError as ``plan`` and ``render`` do, and OSError.
    """
    check_count("chunk", chunk)
    tag = model_tag(model, compute)
    for start in range(0, len(jobs), chunk):
        some = jobs[start : start + chunk]
        requests = plan_jobs(model, some, compute, progress)
        for drawing in render_jobs(model, some, requests, compute, tag, progress):
            yield drawing.save()


def plan_jobs(model: Path, jobs: Sequence[Job], compute: Compute, progress: Progress = no_progress,
              loaders: Loaders = Loaders()) -> list[RenderRequest]:
    """What is to be drawn for each job, with its plan."""
    references = references_of(model, [*jobs, *(job.planned for job in jobs)], compute, progress, loaders)
    requests = [replace(job.planned.request, references=references[job.planned.images]) for job in jobs]
    plans = plan(model, requests, compute, progress, loaders)
    return [job.to_render(plan, references[job.images]) for job, plan in zip(jobs, plans, strict=True)]


def references_of(model: Path, jobs: Sequence[Job], compute: Compute, progress: Progress,
                  loaders: Loaders) -> dict[tuple[Path, ...], tuple[ReferenceImage, ...]]:
    """The reference images of all jobs by their files."""
    names = list(dict.fromkeys(job.images for job in jobs))
    images = [[read_image(path) for path in paths] for paths in names]
    return dict(zip(names, read_references(model, images, compute, progress, loaders)))


def render_jobs(model: Path, jobs: Sequence[Job], requests: Sequence[RenderRequest], compute: Compute, tag: str,
                progress: Progress = no_progress, loaders: Loaders = Loaders()) -> Iterator[Drawing]:
    """The pictures of each job, drawn as its request says. tag: that of the model, see ``model_tag``."""
    rendered = render(model, requests, compute, progress, loaders=loaders)
    for job, result in zip(jobs, rendered):
        description = job.description(tag)
        files = {path: encode_png(pixels, description) for path, pixels in zip(job.paths, result.pictures, strict=True)
                 if pixels.isfinite().all()}
        yield Drawing(job, files)


def encode_png(pixels: Tensor, description: str) -> bytes:
    """The bytes of a PNG file of pixels [H, W, 3] in 0...1."""
    file = BytesIO()
    write_png(to_image(pixels), file, {KEYWORD: description})
    return file.getvalue()
