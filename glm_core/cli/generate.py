"""generate: prompts → pictures."""

import argparse
from dataclasses import replace
from pathlib import Path

from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import GLMImageError
from ..images import read_image, to_image
from ..pipeline import (
    PlanRequest,
    Rendered,
    RenderRequest,
    RenderSettings,
    contact_sheet,
    plan,
    read_references,
    render,
    with_seeds,
)
from ..plans import Plan
from .options import (
    HelpFormatter,
    Subparsers,
    add_drawing,
    add_model,
    choose_compute,
    plan_request,
    progress_bar,
    render_settings,
)

FILES_OF_ONE_PROMPT = "plan_in", "plan_out", "noise_in", "latent_out"


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser("generate", help="generate images from prompts",
                                  formatter_class=HelpFormatter)
    add = command.add_argument
    add_model(command)
    add("--prompt", action="append", required=True, metavar="TEXT",
        help="what to draw or, with --image, what to change; put text that should appear in the image in quotation "
             "marks; repeat for several prompts")
    add("--out", type=Path, required=True, metavar="FILE.png",
        help="image to write; further images get -1, -2, … before .png")
    add("--sheet", type=Path, metavar="FILE.png", help="also write a sheet of all images with their prompts")
    add("--image", type=Path, action="append", default=[], metavar="FILE",
        help="reference image; repeat for several, in the order the prompt refers to them")
    add("--batch", type=int, default=PlanRequest.batch,
        help="number of images for each prompt, each with its own plan")
    add_drawing(command)
    add("--plan-in", type=Path, metavar="F.safetensors",
        help="render this saved plan, at its own size, and skip the planner")
    add("--plan-out", type=Path, metavar="F.safetensors", help="save the plan: 'ids' and 'preview', int64 [B, h, w]")
    add("--noise-in", type=Path, metavar="F.safetensors", help="start from this 'noise', float32 [B, 16, H/8, W/8]")
    add("--latent-out", type=Path, metavar="F.safetensors",
        help="save the normalised 'latent', float32 [B, 16, H/8, W/8]")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    check_one_prompt(args)
    given = Plan.load(args.plan_in) if args.plan_in else None
    requests = with_seeds([plan_request(args, prompt, args.batch, given) for prompt in args.prompt], args.seed)
    settings = render_settings(args)
    compute = choose_compute(args.device, args.dtype)
    (references,) = read_references(args.model, [[read_image(path) for path in args.image]], compute, progress_bar)
    requests = [replace(request, references=references) for request in requests]
    plans = plan(args.model, requests, compute, progress_bar) if given is None else [given]
    if args.plan_out:
        plans[0].save(args.plan_out)
    pictures, captions = [], []
    to_render = render_requests(args, requests, plans, settings)
    for rendered, request in zip(render(args.model, to_render, compute, progress_bar), requests):
        written = write_pictures(args, request.prompt, rendered, len(pictures))
        pictures += written
        captions += [[request.prompt]] * len(written)
    if args.sheet:
        contact_sheet(pictures, captions).save(args.sheet)
        print(f"{args.sheet}: all images")


def check_one_prompt(args: argparse.Namespace) -> None:
    """Raise GLMImageError if an option that names one prompt's file is given with several prompts."""
    for option in FILES_OF_ONE_PROMPT:
        if getattr(args, option) and len(args.prompt) > 1:
            raise GLMImageError(f"--{option.replace('_', '-')} takes exactly one --prompt (got {len(args.prompt)})")


def render_requests(args: argparse.Namespace, requests: list[PlanRequest], plans: list[Plan],
                    settings: RenderSettings) -> list[RenderRequest]:
    """A request for each plan, with the noise of --noise-in if that is given."""
    noise = read_noise(args.noise_in) if args.noise_in else None
    return [replace(RenderRequest.of(request, plan, settings), noise=noise)
            for request, plan in zip(requests, plans, strict=True)]


def read_noise(path: Path) -> Tensor:
    """The noise in a file, float32; the request checks its shape. Raises GLMImageError if there is none."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise GLMImageError(f"--noise-in {path}: cannot be read as a safetensors file ({error})") from error
    if "noise" not in tensors:
        raise GLMImageError(f"--noise-in {path}: must contain 'noise', float32 [B, 16, H/8, W/8] "
                            f"(got the tensors {sorted(tensors)})")
    return tensors["noise"].float()


def write_pictures(args: argparse.Namespace, prompt: str, rendered: Rendered, first: int) -> list[Image.Image]:
    """Save the pictures and the latent of a prompt; returns the pictures. first: number of the first picture."""
    if args.latent_out:
        save_file({"latent": rendered.latent.cpu().contiguous()}, args.latent_out)
    pictures = [to_image(pixels) for pixels in rendered.pictures]
    for i, picture in enumerate(pictures, first):
        path = args.out.with_stem(f"{args.out.stem}-{i}") if i else args.out
        picture.save(path)
        print(f"{path}: {picture.width}x{picture.height}, {prompt}")
    return pictures
