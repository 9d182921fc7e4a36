"""generate: prompts → pictures."""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from ..errors import GLMImageError
from ..files import read_tensors
from ..images import read_image, to_image
from ..pipeline import PlanRequest, Rendered, RenderRequest, RenderSettings, plan, read_references, render, with_seeds
from ..pipeline.sheet import contact_sheet
from ..plans import Plan
from .options import HelpFormatter, add_drawing, add_model, bar, choose_compute, plan_request, render_settings

FILES_OF_ONE_PROMPT = "plan_in", "plan_out", "noise_in", "latent_out"


def add_command(commands) -> None:
    command = commands.add_parser("generate", help="draw pictures from a prompt",
                                  formatter_class=HelpFormatter)
    add = command.add_argument
    add_model(command)
    add("--prompt", action="append", required=True, metavar="TEXT",
        help="what to draw; put text that should appear in the picture in quotation marks; repeat for several pictures")
    add("--out", type=Path, required=True, metavar="FILE.png", help="picture; further ones get -1, -2, …")
    add("--sheet", type=Path, metavar="FILE.png", help="also put all pictures with their prompts on one sheet")
    add("--image", type=Path, action="append", default=[], metavar="FILE",
        help="reference image; repeat for several, in the order the prompt mentions them")
    add("--batch", type=int, default=PlanRequest.batch,
        help="number of pictures of every prompt, each with a plan of its own")
    add_drawing(command)
    add("--plan-in", type=Path, metavar="F.safetensors", help="take this plan (and its size) and skip the planner")
    add("--plan-out", type=Path, metavar="F.safetensors", help="keep the plan: ids and preview, int64 [B, h, w]")
    add("--noise-in", type=Path, metavar="F.safetensors", help="start from this noise, float32 [B, 16, H/8, W/8]")
    add("--latent-out", type=Path, metavar="F.safetensors", help="keep the normalised latent")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    check_one_prompt(args)
    requests = with_seeds([plan_request(args, prompt, batch=args.batch) for prompt in args.prompt], args.seed)
    settings = render_settings(args)
    compute = choose_compute(args.device, args.dtype)
    (references,) = read_references(args.model, [[read_image(path) for path in args.image]], compute, bar)
    requests = [replace(request, references=references) for request in requests]
    plans = [Plan.load(args.plan_in)] if args.plan_in else plan(args.model, requests, compute, bar)
    if args.plan_out:
        plans[0].save(args.plan_out)
    drawn = []
    to_render = render_requests(args, requests, plans, settings)
    for rendered, request in zip(render(args.model, to_render, compute, bar), requests):
        drawn += write_pictures(args, request, rendered, len(drawn))
    if args.sheet:
        contact_sheet([picture for picture, _ in drawn], [[prompt] for _, prompt in drawn]).save(args.sheet)
        print(f"{args.sheet}: all of them")


def check_one_prompt(args: argparse.Namespace) -> None:
    for option in FILES_OF_ONE_PROMPT:
        if getattr(args, option) and len(args.prompt) > 1:
            raise GLMImageError(f"--{option.replace('_', '-')} takes exactly one --prompt (got {len(args.prompt)})")


def render_requests(args: argparse.Namespace, requests: list[PlanRequest], plans: list[Plan],
                    settings: RenderSettings) -> list[RenderRequest]:
    noise = read_noise(args.noise_in) if args.noise_in else None
    return [replace(RenderRequest.of(request, plan, settings), noise=noise)
            for request, plan in zip(requests, plans, strict=True)]


def read_noise(path: Path) -> torch.Tensor:
    """float32; the request checks its shape. Raises GLMImageError when the file holds no noise."""
    tensors, _ = read_tensors(path, f"--noise-in {path}")
    if "noise" not in tensors:
        raise GLMImageError(f"--noise-in {path}: it must hold 'noise', float32 [B, 16, H/8, W/8] "
                            f"(got the tensors {sorted(tensors)})")
    return tensors["noise"].float()


def write_pictures(args: argparse.Namespace, request: PlanRequest, rendered: Rendered,
                   already: int) -> list[tuple[Image.Image, str]]:
    """Save a request's pictures and latent; the pictures with their prompt. ``already``: pictures saved before."""
    if args.latent_out:
        save_file({"latent": rendered.latent.cpu().contiguous()}, args.latent_out)
    drawn = []
    for i, pixels in enumerate(rendered.pictures, already):
        picture = to_image(pixels)
        path = args.out.with_stem(f"{args.out.stem}-{i}") if i else args.out
        picture.save(path)
        print(f"{path}: {picture.width}x{picture.height}, {request.prompt}")
        drawn.append((picture, request.prompt))
    return drawn
