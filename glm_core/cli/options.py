"""Options that several commands share, and what is made from their values."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..checkpoint import EMBEDDED, REPOSITORY, Part, find_model, locate
from ..errors import GLMImageError
from ..glyph import DIFFUSERS, NATURAL
from ..pipeline import Compute, PlanRequest, RenderSettings, Share, default_side
from ..pipeline.cluster import Pools
from ..pipeline.jobs import CHUNK
from ..pipeline.requests import MOST_STEPS
from ..planner import Sampling
from ..plans import Plan

EMBEDDED_NAME = "embedded"
MODEL_HELP = (f"released or converted folder, {REPOSITORY} if it is in the Hugging Face cache, or 'embedded' for the "
              "small model of this pack")
CLOSED_PIPE = errno.EPIPE, errno.EINVAL  # the second on Windows
RESUME_HELP = ("keep the images that are in the folder already, and draw the others; it is an error if one of them was "
               "drawn from another prompt, with other settings or by another model")
RAY_OPTIONS = "planners", "decoders", "gpus_per_planner", "gpus_per_decoder"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Subparsers = argparse._SubParsersAction  # what add_subparsers returns; argparse has no public name for it


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, except of switches, of lists, and of options that are off by default."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        is_trivial = action.default is None or isinstance(action.default, bool | list)
        return action.help if is_trivial else super()._get_help_string(action)


def model_folder(name: str) -> Path:
    return EMBEDDED if name == EMBEDDED_NAME else stored_folder(name)


def stored_folder(name: str) -> Path:
    """A folder, or the one that the Hugging Face cache has for a repository's name."""
    try:
        return find_model(name)
    except GLMImageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def check_parts(model: Path, parts: Sequence[Part]) -> None:
    """Raise GLMImageError where a part is missing, before the work that would end there."""
    for part in parts:
        locate(model, part)


def add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", type=model_folder, default=EMBEDDED_NAME, metavar="DIR", help=MODEL_HELP)


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                         help="auto: the GPU if there is one")


def add_drawing(command: argparse.ArgumentParser) -> None:
    """What every command that draws pictures takes: sizes, seed, the planner's settings and the decoder's."""
    add = command.add_argument
    for side in ("--width", "--height"):
        add(side, type=int,
            help="in pixels, a multiple of 32 from 32 to 4096 (default: 1024, or 256 for the embedded model)")
    add("--seed", type=int, default=PlanRequest.seed,
        help="seed of the first prompt, 0 to 2^64 - 1; prompt j, counted from 0, has SEED + j * batch * best-of, and 0 "
             "follows 2^64 - 1. Image i of a prompt is planned with the prompt's seed + i * best-of, and with the "
             "seeds after it for its other plans; the noise of all its images is drawn from the prompt's seed")
    add("--best-of", type=int, default=PlanRequest.best_of, metavar="N",
        help="make N plans for every image and draw the one that the planner itself considers most likely, not "
             "counting background; a batch of N plans costs less than N single ones")
    for entry in fields(Sampling):
        add(f"--{entry.name.replace('_', '-')}", type=type(entry.default), default=entry.default,
            help=entry.metadata["help"])
    add("--look-ahead", type=int, default=PlanRequest.look_ahead, metavar="N",
        help="number of tokens that the planner tries in one pass; the plan stays the same. Higher values are faster "
             "where tokens are easy to guess")
    add("--steps", type=int, default=RenderSettings.steps, help=f"number of sampling steps, 1 to {MOST_STEPS}")
    add("--guidance", type=float, default=RenderSettings.guidance, help="guidance scale; 1 or less turns guidance off")
    add("--reference-quotes", action="store_true",
        help="treat any two apostrophes as quotation marks, as diffusers does")
    add("--dtype", choices=("auto", *DTYPES), default="auto", help="auto: bfloat16 on a GPU, float32 on a CPU")
    add_device(command)


def add_many(command: argparse.ArgumentParser, resume: str = RESUME_HELP) -> None:
    """What every command takes that draws many pictures into a folder. resume: what --resume does."""
    add = command.add_argument
    add("--resume", action="store_true", help=resume)
    add("--part", type=share, metavar="I/N",
        help="draw only prompts I, I + N, I + 2 N, … so that N processes draw all of them; images are the same as "
             "without it")
    add("--chunk", type=int, default=CHUNK, metavar="N",
        help="number of prompts that are planned before they are drawn; each part of the model is loaded anew for "
             "every N prompts (without --ray)")
    add("--ray", metavar="ADDRESS",
        help="draw on a Ray cluster, or with 'local' in several processes on this machine; pack and model must have "
             "the same paths on all machines. Needs the Python package ray[data]")
    for part in ("planner", "decoder"):
        add(f"--{part}s", type=int, metavar="N", help=f"with --ray: number of processes with a {part} (default: 1)")
        add(f"--gpus-per-{part}", type=float, metavar="N",
            help="with --ray: GPUs for each of them; with 0.5, two share one (default: 1, or 0 with --device cpu)")


def share(text: str) -> Share:
    """Of "2/8", the second part of eight."""
    numbers = text.split("/")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"must be two numbers such as 2/8 (got {text!r})")
    try:
        return Share(*map(int, numbers))
    except GLMImageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def check_needs(args: argparse.Namespace, needed: str, options: Sequence[str]) -> None:
    """Raise GLMImageError if one of the options is given without the one that it needs."""
    if getattr(args, needed) is not None:
        return
    for option in options:
        if getattr(args, option) is not None and getattr(args, option) is not False:
            raise GLMImageError(f"--{option.replace('_', '-')} must come with --{needed.replace('_', '-')} (got none)")


def pools_of(args: argparse.Namespace, compute: Compute) -> Pools:
    """The pools of --ray. A worker has as many threads as this process, so that it rounds in the same way."""
    gpus = 1.0 if compute.device.type == "cuda" else 0.0
    options: dict[str, Any] = {"gpus_per_planner": gpus, "gpus_per_decoder": gpus}
    options |= {name: getattr(args, name) for name in RAY_OPTIONS if getattr(args, name, None) is not None}
    return Pools(args.ray, threads=torch.get_num_threads(), **options)


def choose_compute(device: str, dtype: str, is_here: bool = True) -> Compute:
    """The values of --device and --dtype, with "auto" resolved as on this machine.

    Raises GLMImageError on cuda without a GPU, if the work is done here.
    """
    if is_here and device == "cuda" and not torch.cuda.is_available():
        raise GLMImageError("--device must be cpu or auto, since torch sees no GPU (got cuda)")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    automatic = torch.bfloat16 if device == "cuda" else torch.float32
    return Compute(torch.device(device), DTYPES.get(dtype, automatic))


def plan_request(args: argparse.Namespace, prompt: str, batch: int = 1, plan: Plan | None = None) -> PlanRequest:
    """The request that the options of ``add_drawing`` describe. A ``plan`` that exists already decides the size."""
    sides = (args.width, args.height) if plan is None else (plan.width, plan.height)
    width, height = (default_side(args.model) if side is None else side for side in sides)
    sampling = Sampling(**{entry.name: getattr(args, entry.name) for entry in fields(Sampling)})
    return PlanRequest(prompt, width, height, batch, args.seed, sampling, look_ahead=args.look_ahead,
                       best_of=args.best_of)


def render_settings(args: argparse.Namespace) -> RenderSettings:
    return RenderSettings(args.steps, args.guidance, args.seed, DIFFUSERS if args.reference_quotes else NATURAL)


@contextmanager
def progress_bar(title: str, total: int, unit: str) -> Iterator[Callable[[], object]]:
    """A progress bar on standard error; messages are written above it."""
    with logging_redirect_tqdm(), tqdm(desc=title, total=total, unit=unit) as progress:
        yield progress.update


@contextmanager
def byte_bar(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """A progress bar of ``total`` bytes on standard error; none if that is no terminal."""
    with tqdm(desc=title, total=total, unit="B", unit_scale=True, disable=None) as progress:
        yield progress.update


def report(line: str) -> None:
    """Print a line, above a progress bar if there is one. If nobody reads any more (``| head``), the work goes on."""
    try:
        tqdm.write(line)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in CLOSED_PIPE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
