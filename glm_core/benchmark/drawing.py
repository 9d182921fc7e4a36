"""Drawing the pictures that are not there yet."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import GLMImageError
from ..files import read_text
from ..pipeline import (
    Compute,
    DrawJobs,
    Job,
    PlanRequest,
    Progress,
    RenderSettings,
    Share,
    draw_jobs,
    no_progress,
    with_seeds,
)
from ..pipeline.parts import model_tag
from .base import Case
from .pictures import find_picture, join, read_cells, save_picture

CELLS = "cells"  # folder of single images that are put together once all of a picture are there
RECORD = "drawn.json"  # file that says with what the pictures of a folder were drawn


@dataclass(frozen=True)
class Drawing:
    """With what pictures are drawn. template: what all requests share, such as size, sampling and the first seed."""

    model: Path
    template: PlanRequest
    settings: RenderSettings
    compute: Compute

    def record(self, cases: Sequence[Case]) -> str:
        """What must be the same for all pictures of a folder, as JSON."""
        job = Job(Path("any.png"), self.template, self.settings)
        values = json.loads(job.description(model_tag(self.model, self.compute)))
        return json.dumps({"cells": max(case.cells for case in cases), **values}, indent=1)


def missing_cases(folder: Path, cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if find_picture(folder, case) is None]


def draw_missing(folder: Path, cases: Sequence[Case], drawing: Drawing, draw: DrawJobs = draw_jobs,
                 share: Share | None = None, progress: Progress = no_progress) -> None:
    """Draw the pictures of the cases that are not there. Image i of all cases has the template's seed + i, or, if plans
    are chosen from n each, + i * n, whichever images are there already.

    draw: how jobs are drawn. share: of several processes, which part of the images to draw; they are not put together.
    Raises GLMImageError if pictures of the folder were drawn here with anything else, and if the model gives NaN or
    infinity.
    """
    check_record(folder, drawing.record(cases))
    missing = missing_cases(folder, cases)
    jobs = all_jobs(folder, cases, drawing)
    wanted = {path for case in missing for path in cell_paths(folder, case) if not path.exists()}
    own = [job for job in (share.of(jobs) if share else jobs) if job.path in wanted]
    for job in own:
        job.path.parent.mkdir(parents=True, exist_ok=True)
    for job in draw(drawing.model, own, drawing.compute, progress):
        check_drawn(job.path)
    if share is None:
        for case in missing:
            put_together(folder, case)


def check_drawn(path: Path) -> None:
    if not path.exists():
        raise GLMImageError(f"{path}: the model gave NaN or infinity; 'python -m glm_core check DIR' examines it")


def check_record(folder: Path, record: str) -> None:
    """Write down with what the folder's pictures are drawn. Raises GLMImageError if it was something else before."""
    path = folder / RECORD
    if path.exists() and read_text(path, str(path)) != record:
        raise GLMImageError(f"{path}: the pictures that are there must have been drawn by the same model with the same "
                            "settings (got others); name another folder with --pictures")
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{RECORD}.{os.getpid()}.part")  # others of a share may be here at the same time
        unfinished.write_text(record, encoding="utf-8")
        os.replace(unfinished, path)


def all_jobs(folder: Path, cases: Sequence[Case], drawing: Drawing) -> list[Job]:
    """A job for each image of each case."""
    paths = [path for case in cases for path in cell_paths(folder, case)]
    requests = [replace(drawing.template, prompt=case.prompt) for case in cases for _ in range(case.cells)]
    seeded = with_seeds(requests, drawing.template.seed)
    return [Job(path, request, drawing.settings) for path, request in zip(paths, seeded, strict=True)]


def cell_paths(folder: Path, case: Case) -> list[Path]:
    """Where the images of a case are drawn: at once in its own place if they need not be put together."""
    own = folder / case.name
    if case.cells == 1 and own.suffix == ".png":
        return [own]
    return [folder / CELLS / f"{own.stem}-{i}.png" for i in range(case.cells)]


def put_together(folder: Path, case: Case) -> None:
    """Make a case's picture of its single images, which are then deleted."""
    paths = cell_paths(folder, case)
    if paths != [folder / case.name]:
        save_picture(join([read_cells(path, 1)[0] for path in paths]), folder / case.name)
        for path in paths:
            path.unlink()
