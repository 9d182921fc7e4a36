"""Many prompts → a folder of pictures: reading a file of prompts, and drawing the missing pictures."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import normalize

from PIL import Image

from ..errors import GLMImageError
from ..evaluation.tasks import check_keys, invalid, is_text, read_lines
from ..files import check_file
from ..pipeline import Compute, DrawJobs, Job, PlanRequest, draw_jobs, unfinished_jobs, with_seeds
from ..pipeline.cluster import draw_on_cluster
from ..pipeline.requests import check_count
from .files import check_files
from .options import RAY_OPTIONS, check_needs, plan_request, pools_of, progress_bar, render_settings, report

PROMPTS_HELP = ("draw the prompts of this file into the folder --out: one JSON object per line with prompt, and "
                "optionally name (of the image, without .png; by default the number of the line), width, height, seed "
                "and images (file names of reference images, relative to FILE.jsonl); texts and shapes, which evaluate "
                "checks, have no effect")
OPTIONAL_KEYS = "name", "width", "height", "seed", "images", "texts", "shapes"
NOT_FINITE = "the model gave NaN or infinity; 'python -m glm_core check DIR' examines it"
MOST_NAMED = 10
LONGEST_NAME = 240  # bytes; file systems take 255, with .png, .part and the number of a batch
OnPicture = Callable[[Path, Job], object]


def read_jobs(args: argparse.Namespace) -> list[Job]:
    """The jobs of the lines of --prompts. A line without a seed has the one of its place among all lines.

    Raises GLMImageError, naming the file and the line, if a line is not as PROMPTS_HELP says or a value out of range.
    """
    lines = read_lines(args.prompts)
    batch = PlanRequest.batch if args.batch is None else args.batch
    template, settings = plan_request(args, "", batch), render_settings(args)
    seeded = with_seeds([template] * len(lines), args.seed)
    jobs = []
    for i, ((source, values), request) in enumerate(zip(lines, seeded)):
        check_line(values, source)
        changes = {key: values[key] for key in ("prompt", "width", "height", "seed") if key in values}
        try:
            request = replace(request, **changes)
        except GLMImageError as error:
            raise GLMImageError(f"{source}: {error}") from error
        images = tuple(args.prompts.parent / name for name in values.get("images", []))
        jobs.append(Job(args.out / f"{values.get('name', f'{i:05d}')}.png", request, settings, images))
    return jobs


def check_line(values: Any, source: str) -> None:
    """Raise GLMImageError unless a line has the keys of PROMPTS_HELP, with values of their types (but for texts and
    shapes, which are not read).
    """
    check_keys(values, f"{source}: the line", ("prompt",), OPTIONAL_KEYS)
    if not is_text(values["prompt"]):
        raise invalid(f"{source}: prompt", "a string", values["prompt"])
    if "name" in values and not is_name(values["name"]):
        accepted = f"the name of a file, without a folder, of at most {LONGEST_NAME} bytes"
        raise invalid(f"{source}: name", accepted, values["name"])
    for key in ("width", "height", "seed"):
        if key in values and type(values[key]) is not int:
            raise invalid(f"{source}: {key}", "an integer", values[key])
    images = values.get("images", [])
    if not isinstance(images, list) or not all(is_text(name) and "\0" not in name for name in images):
        raise invalid(f"{source}: images", "a list of file names", images)


def is_name(value: Any) -> bool:
    return (is_text(value) and bool(value) and "\0" not in value and Path(value).name == value
            and len(value.encode()) <= LONGEST_NAME)


def drawer(args: argparse.Namespace, compute: Compute) -> DrawJobs:
    """How the options say that jobs are drawn: in this process, or on a cluster. Raises GLMImageError if they clash."""
    check_count("chunk", args.chunk)
    check_needs(args, "ray", RAY_OPTIONS)
    if args.ray:
        return partial(draw_on_cluster, pools=pools_of(args, compute))
    return partial(draw_jobs, chunk=args.chunk)


def draw_many(args: argparse.Namespace, jobs: Sequence[Job], compute: Compute,
              on_picture: OnPicture = lambda path, job: None) -> None:
    """Draw the jobs of --part, with --resume only those that are missing.

    on_picture: called with each file that was written, and its job.
    Raises GLMImageError if two jobs have the same file, if a reference image is not there, and at the end if pictures
    are not finite.
    """
    draw = drawer(args, compute)
    check_own_names(jobs)
    images = dict.fromkeys(path for job in jobs for path in job.images)
    for path in images:
        check_file(path, f"image {path}")
    jobs[0].path.parent.mkdir(parents=True, exist_ok=True)
    check_files([("an image", path) for job in jobs for path in job.paths],
                [("a reference image", path) for path in images])
    own = args.part.of(jobs) if args.part else jobs
    missing = unfinished_jobs(args.model, own, compute) if args.resume else own
    if args.resume:
        report(f"{len(own) - len(missing)} of {len(own)} prompts are drawn already")
    bad = []
    for job in draw(args.model, missing, compute, progress_bar):
        for path in job.paths:
            if path.exists():
                on_picture(path, job)
            else:
                bad.append(path)
    if bad:
        names = ", ".join(map(str, bad[:MOST_NAMED])) + (", …" if len(bad) > MOST_NAMED else "")
        raise GLMImageError(f"{len(bad)} image(s) could not be written, but all others are: {names} ({NOT_FINITE})")


def check_own_names(jobs: Sequence[Job]) -> None:
    """Raise GLMImageError if two pictures have the same file, also where upper and lower case are the same, or é and
    e with an accent.
    """
    names = Counter(map(name_key, (path for job in jobs for path in job.paths)))
    for job in jobs:
        for path in job.paths:
            if names[name_key(path)] > 1:
                raise GLMImageError(f"{path}: every image must have a name of its own (got it twice)")


def name_key(path: Path) -> str:
    return normalize("NFC", str(path)).casefold()


def report_picture(path: Path, job: Job) -> None:
    with Image.open(path) as picture:
        report(f"{path}: {picture.width}x{picture.height}, {job.request.prompt}")
