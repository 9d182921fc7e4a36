"""generate: prompts → pictures."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from ..checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, VISION
from ..errors import GLMImageError
from ..files import read_tensors
from ..geometry import reference_size
from ..glyph import quoted_texts
from ..images import read_image, to_image
from ..ocr import FindText, load_ocr, read_picture
from ..pipeline import (
    PlanRequest,
    Rendered,
    RenderRequest,
    RenderSettings,
    check_aspect,
    check_codes,
    check_noise,
    contact_sheet,
    picture_path,
    plan,
    read_references,
    render,
    with_seeds,
)
from ..plans import Plan, load_plan, save_plan_image, select
from .files import Named, Writer, check_files, check_out_folder, check_picture_suffix
from .many import NOT_FINITE, PROMPTS_HELP, draw_many, read_jobs, report_picture
from .options import (
    RAY_OPTIONS,
    HelpFormatter,
    Subparsers,
    add_drawing,
    add_many,
    add_model,
    check_needs,
    check_parts,
    choose_compute,
    plan_request,
    progress_bar,
    render_settings,
    report,
)

Captioned = tuple[Image.Image, str]  # a picture and its prompt
PLAN_PICTURE = ".png"  # suffix of plans that are saved as pictures
OPTIONS_OF_MANY = "resume", "part", "ray", *RAY_OPTIONS
OPTIONS_OF_FEW = "image", "sheet", "check_text", "plan_in", "plan_out", "noise_in", "latent_out"
FILES_OF_ONE_PROMPT = "plan_in", "plan_out", "noise_in", "latent_out"


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser("generate", help="generate images from prompts",
                                  formatter_class=HelpFormatter)
    add = command.add_argument
    add_model(command)
    prompts = command.add_mutually_exclusive_group(required=True)
    prompts.add_argument(
        "--prompt", action="append", metavar="TEXT",
        help="what to draw or, with --image, what to change; put text that should appear in the image in quotation "
             "marks; repeat for several prompts")
    prompts.add_argument("--prompts", type=Path, metavar="FILE.jsonl", help=PROMPTS_HELP)
    add("--out", type=Path, required=True, metavar="FILE.png",
        help="image to write; further images get -1, -2, … before .png. With --prompts, the folder for all images")
    add("--sheet", type=Path, metavar="FILE.png", help="also write a sheet of all images with their prompts")
    add("--image", type=Path, action="append", default=[], metavar="FILE",
        help="reference image; repeat for several, in the order the prompt refers to them")
    add("--batch", type=int,
        help=f"number of images for each prompt, each with its own plan (default: {PlanRequest.batch})")
    add_drawing(command)
    add_many(command)
    add("--check-text", action="store_true",
        help="read every image with OCR and print which quoted words are wrong in it; needs the Python packages "
             "rapidocr and onnxruntime")
    add("--plan-in", type=Path, metavar="FILE",
        help="render this saved plan of one --prompt, with its own size and batch, and skip the planner; a safetensors "
             "file or the picture of a plan")
    add("--plan-out", type=Path, metavar="FILE",
        help="save the plan: as F.png, a picture of each plan that shows and carries it; with another suffix, a "
             "safetensors file of 'ids' and 'preview', int64 [B, h, w]")
    add("--noise-in", type=Path, metavar="F.safetensors", help="start from this 'noise', float32 [B, 16, H/8, W/8]")
    add("--latent-out", type=Path, metavar="F.safetensors",
        help="save the normalised 'latent', float32 [B, 16, H/8, W/8]")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.prompts:
        draw_lines(args)
    else:
        check_needs(args, "prompts", OPTIONS_OF_MANY)
        draw_prompts(args)


def draw_lines(args: argparse.Namespace) -> None:
    """Draw the prompts of a file."""
    for option in OPTIONS_OF_FEW:
        if getattr(args, option):
            raise GLMImageError(f"--{option.replace('_', '-')} must come with --prompt (got --prompts)")
    check_out_folder("--out", args.out)
    compute = choose_compute(args.device, args.dtype, is_here=not args.ray)
    jobs = read_jobs(args)
    check_parts(args.model, [*([VISION] if any(job.images for job in jobs) else []), PLANNER, GLYPH, DIFFUSION, VAE])
    for width, height in dict.fromkeys((job.request.width, job.request.height) for job in jobs):
        check_aspect(args.model, width, height)
    draw_many(args, jobs, compute, report_picture)


def draw_prompts(args: argparse.Namespace) -> None:
    """Draw the prompts of the command itself."""
    check_one_prompt(args)
    check_no_choice(args)
    given_plan = read_plan(args) if args.plan_in else None
    requests, settings, compute = make_requests(args), render_settings(args), choose_compute(args.device, args.dtype)
    check_all_files(args, requests)
    noise, images = read_noise(args, requests[0]), read_images(args.image)
    check_parts(args.model, [*([] if given_plan else [PLANNER]), *([VISION] if images else []), GLYPH, DIFFUSION, VAE])
    if given_plan is None:
        check_aspect(args.model, requests[0].width, requests[0].height)
    writer, find_text = Writer(), load_ocr() if args.check_text else None
    (references,) = read_references(args.model, [images], compute, progress_bar)
    requests = [replace(request, references=references) for request in requests]
    plans = [given_plan] if given_plan else plan(args.model, requests, compute, progress_bar)
    if args.plan_out:
        write_plan(writer, args.plan_out, plans[0])
    to_render = render_requests(requests, plans, settings, noise)
    rendered = render(args.model, to_render, compute, progress_bar, partial(write_latent, writer, args.latent_out))
    drawn = write_pictures(writer, args.out, to_render, rendered, find_text)
    if args.sheet and writer.write(args.sheet, partial(write_sheet, drawn)):
        report(f"{args.sheet}: all images")
    writer.finish()


def check_one_prompt(args: argparse.Namespace) -> None:
    """Raise GLMImageError if an option that names one prompt's file is given with several prompts."""
    for option in FILES_OF_ONE_PROMPT:
        if getattr(args, option) and len(args.prompt) > 1:
            raise GLMImageError(f"--{option.replace('_', '-')} takes exactly one --prompt (got {len(args.prompt)})")


def check_no_choice(args: argparse.Namespace) -> None:
    """Raise GLMImageError if a plan is given and others are to be chosen from."""
    if args.plan_in and args.best_of > 1:
        raise GLMImageError(f"--best-of must be 1 with --plan-in, which needs no planner (got {args.best_of})")


def read_plan(args: argparse.Namespace) -> Plan:
    """The plan of --plan-in; its size and batch become those of the command, which must not have named others."""
    check_files([], [("--plan-in", args.plan_in)])
    given = load_plan(args.plan_in)
    for name in ("width", "height", "batch"):
        value = getattr(given, name)
        if getattr(args, name) not in (None, value):
            raise GLMImageError(f"--{name} must be {value}, as --plan-in has it, or be left out "
                                f"(got {getattr(args, name)})")
        setattr(args, name, value)
    check_codes(args.model, given)
    return given


def make_requests(args: argparse.Namespace) -> list[PlanRequest]:
    batch = PlanRequest.batch if args.batch is None else args.batch
    return with_seeds([plan_request(args, prompt, batch) for prompt in args.prompt], args.seed)


def check_all_files(args: argparse.Namespace, requests: Sequence[PlanRequest]) -> None:
    check_picture_suffix("--out", args.out)
    if args.sheet:
        check_picture_suffix("--sheet", args.sheet)
    outputs = [("--out", picture_path(args.out, i)) for i in range(sum(request.batch for request in requests))]
    outputs += [("--plan-out", path) for path in plan_paths(args.plan_out, requests[0].batch)]
    check_files(outputs + named(args, "sheet", "latent_out"),
                [*named(args, "plan_in", "noise_in"), *(("--image", path) for path in args.image)])


def named(args: argparse.Namespace, *options: str) -> list[Named]:
    """The files of those of the options that were given."""
    return [(f"--{option.replace('_', '-')}", getattr(args, option)) for option in options if getattr(args, option)]


def read_images(paths: Sequence[Path]) -> list[Tensor]:
    images = [read_image(path) for path in paths]
    for image in images:
        reference_size(image.shape[2], image.shape[1])  # raises on a size that the model cannot read
    return images


def read_noise(args: argparse.Namespace, request: PlanRequest) -> Tensor | None:
    """float32 [B, 16, H/8, W/8]. Raises GLMImageError if the file holds no noise, or not for this request."""
    if args.noise_in is None:
        return None
    source = f"--noise-in {args.noise_in}"
    tensors, _ = read_tensors(args.noise_in, source)
    if "noise" not in tensors or not tensors["noise"].is_floating_point():
        found = sorted(f"{name} {tensor.dtype}".replace("torch.", "") for name, tensor in tensors.items())
        raise GLMImageError(f"{source}: must contain 'noise', float32 [B, 16, H/8, W/8] (got the tensors {found})")
    noise = tensors["noise"].float()
    check_noise(noise, request.batch, request.width, request.height)
    return noise


def render_requests(requests: list[PlanRequest], plans: list[Plan], settings: RenderSettings,
                    noise: Tensor | None) -> list[RenderRequest]:
    return [replace(RenderRequest.of(request, plan, settings), noise=noise)
            for request, plan in zip(requests, plans, strict=True)]


def plan_paths(out: Path | None, batch: int) -> list[Path]:
    """The files to which a plan of ``batch`` items is saved."""
    if out is None:
        return []
    return [picture_path(out, i) for i in range(batch)] if out.suffix.lower() == PLAN_PICTURE else [out]


def write_plan(writer: Writer, out: Path, plan: Plan) -> None:
    if out.suffix.lower() != PLAN_PICTURE:
        writer.write(out, plan.save)
        return
    for i, path in enumerate(plan_paths(out, plan.batch)):
        writer.write(path, partial(save_plan_image, select(plan, i)))


def write_latent(writer: Writer, path: Path | None, latent: Tensor) -> None:
    if path:
        writer.write(path, partial(save_file, {"latent": latent.cpu().contiguous()}))


def write_pictures(writer: Writer, out: Path, requests: Sequence[RenderRequest], rendered: Iterable[Rendered],
                   find_text: FindText | None = None) -> list[Captioned]:
    """Save every picture as soon as it is there; all pictures with their prompts.

    find_text: if there is one, every picture is read, and a line says which of its quoted words are wrong.
    """
    drawn = []
    for result, request in zip(rendered, requests):
        texts = quoted_texts(request.prompt, request.settings.quotes) if find_text else []
        for pixels in result.pictures:
            picture, path = to_image(pixels.nan_to_num()), picture_path(out, len(drawn))
            if writer.write(path, partial(save_picture, picture, bool(pixels.isfinite().all()))):
                report(f"{path}: {picture.width}x{picture.height}, {request.prompt}")
            if find_text:
                report(f"{path}: {read_picture(np.asarray(picture), texts, find_text).line()}")
            drawn.append((picture, request.prompt))
    return drawn


def save_picture(picture: Image.Image, is_finite: bool, path: Path) -> None:
    """Raises ValueError if the picture's numbers were not finite: its colours then mean nothing."""
    if not is_finite:
        raise ValueError(NOT_FINITE)
    picture.save(path)


def write_sheet(drawn: Sequence[Captioned], path: Path) -> None:
    contact_sheet([picture for picture, _ in drawn], [[prompt] for _, prompt in drawn]).save(path)
