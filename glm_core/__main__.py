"""Command line: python -m glm_core generate | evaluate | convert | train."""

import argparse
import logging
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from .checkpoint import DIFFUSION, EMBEDDED, GLYPH, QUANTISED, VAE, VISION, convert_folder
from .errors import GLMImageError, check_counts
from .evaluation import WITHOUT, contact_sheet, evaluate
from .glyph import NATURAL, REFERENCE
from .images import read_image
from .pipeline import (
    Place,
    decode_pixels,
    default_side,
    draw_noise,
    encode_glyphs,
    encode_images,
    load,
    load_planner,
    render_latent,
)
from .plan import LATENT_PIXELS, Plan
from .planner import Sampling, make_plan
from .planner.grids import check_size
from .training.recipe import Recipe, train
from .vision import tokenize

EMBEDDED_NAME = "embedded"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m glm_core", description="GLM-Image without ComfyUI.")
    commands = root.add_subparsers(dest="command", required=True)
    for add_command in (add_generate, add_evaluate, add_convert, add_train):
        add_command(commands)
    return root


def add_generate(commands) -> None:
    command = commands.add_parser("generate", help="draw pictures from a prompt", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = command.add_argument
    add_model(command)
    add("--prompt", action="append", required=True, metavar="TEXT",
        help="texts in quotation marks are lettered in the picture; may be given several times")
    add("--out", type=Path, required=True, metavar="FILE.png", help="picture; further ones get -1, -2, …")
    add("--sheet", type=Path, metavar="FILE.png", help="also put all pictures with their prompts on one sheet")
    add("--image", type=Path, action="append", default=[], metavar="FILE",
        help="picture to edit or to take something from; may be given several times, in the order the prompt means")
    add("--batch", type=int, default=1, help="number of pictures of every prompt, each with a plan of its own")
    add_drawing(command)
    add("--temperature", type=float, default=Sampling.temperature, help="of the planner")
    add("--top-p", type=float, default=Sampling.top_p, help="probability mass that the planner draws from")
    add("--top-k", type=int, default=Sampling.top_k, help="tokens that the planner draws from; 1 is greedy")
    add("--look-ahead", type=int, default=1, metavar="N",
        help="tokens that the planner tries in one pass; more is faster where they are easy to guess, the plan is the same")
    add("--plan-in", type=Path, metavar="F.safetensors", help="take this plan (and its size) and skip the planner")
    add("--plan-out", type=Path, metavar="F.safetensors", help="keep the plan: ids and preview, int64 [B, h, w]")
    add("--noise-in", type=Path, metavar="F.safetensors", help="start from this noise, float32 [B, 16, H/8, W/8]")
    add("--latent-out", type=Path, metavar="F.safetensors", help="keep the normalised latent")
    add("--reference-quotes", action="store_true", help="take any two apostrophes for quotation marks, as diffusers does")
    command.set_defaults(run=generate)


def add_evaluate(commands) -> None:
    command = commands.add_parser("evaluate", help="draw prompts, read the pictures and count right words and shapes",
                                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = command.add_argument
    add_model(command)
    add("--prompts", type=Path, required=True, metavar="FILE.jsonl", help="a line each: prompt, texts, maybe shapes and images")
    add("--json", type=Path, metavar="OUT", help="keep all figures and what each picture shows")
    add("--sheet", type=Path, metavar="FILE.png", help="keep the pictures with their prompts on one sheet")
    add_drawing(command)
    add("--without", choices=WITHOUT, help="leave a part out, to see what it does: plan (the next prompt's plan is drawn), glyphs "
        "(no texts are spelled) or preview (planned without a preview grid)")
    add("--limit", type=int, metavar="N", help="evaluate the first N prompts")
    command.set_defaults(run=run_evaluate)


def add_convert(commands) -> None:
    command = commands.add_parser("convert", help="released folder → one file a part, for ComfyUI's models folder")
    add = command.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the released folder")
    add("out", type=Path, metavar="OUT", help="where to write, for instance ComfyUI/models")
    add("--quantise", choices=QUANTISED, help="planner and diffusion model with their large matrices in fewer bits: fp8 and int8 (one "
        "byte a number, the latter for cards without fp8) or nvfp4 (half a byte, for Blackwell cards)")
    command.set_defaults(run=convert)


def add_train(commands) -> None:
    command = commands.add_parser("train", help="train a small GLM-Image on posters that the program draws; goes on where it was cut short",
                                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    command.add_argument("out", type=Path, metavar="OUT", help="gets the checkpoint, its curves, and in training/ states and logs")
    add_device(command)
    command.set_defaults(run=lambda args: train(Recipe(), args.out, choose_place(args.device, "float32").device))


def model_folder(name: str) -> Path:
    return EMBEDDED if name == EMBEDDED_NAME else Path(name)


def add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", type=model_folder, default=EMBEDDED_NAME, metavar="DIR",
                         help="released folder, what 'convert' wrote, or 'embedded' for the small model that comes with the pack")


def add_drawing(command: argparse.ArgumentParser) -> None:
    """What every command that draws pictures takes."""
    for side in ("--width", "--height"):
        command.add_argument(side, type=int, default=argparse.SUPPRESS,
                             help="multiple of 32, 32 to 4096 (default: 1024, for the embedded model 256)")
    command.add_argument("--seed", type=int, default=0, help="of plan and noise; picture i is planned with seed + i")
    command.add_argument("--steps", type=int, default=50, help="sampling steps")
    command.add_argument("--guidance", type=float, default=1.5, help="guidance scale; 1 or less turns guidance off")
    command.add_argument("--dtype", choices=("auto", *DTYPES), default="auto", help="auto: bfloat16 on a GPU, float32 on a CPU")
    add_device(command)


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: the GPU if there is one")


def fill_size(args) -> None:
    for side in ("width", "height"):
        if side not in args:
            setattr(args, side, default_side(args.model))


def choose_place(device: str, dtype: str) -> Place:
    if device == "cuda" and not torch.cuda.is_available():
        raise GLMImageError("--device: found cuda, but torch sees no GPU; accepted here is cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    automatic = torch.bfloat16 if device == "cuda" else torch.float32
    return Place(torch.device(device), DTYPES.get(dtype, automatic))


def check_one_prompt(args) -> None:
    for option in ("plan_in", "plan_out", "noise_in", "latent_out"):
        if getattr(args, option) and len(args.prompt) > 1:
            raise GLMImageError(f"--{option.replace('_', '-')}: found {len(args.prompt)} prompts, accepted with it is one")


def read_noise(path: Path, plan: Plan) -> torch.Tensor:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise GLMImageError(f"--noise-in {path}: cannot be read as safetensors ({error})") from error
    expected = (plan.batch, 16, plan.height // LATENT_PIXELS, plan.width // LATENT_PIXELS)
    if "noise" not in tensors or tensors["noise"].shape != expected:
        found = {name: list(tensor.shape) for name, tensor in tensors.items()}
        raise GLMImageError(f"--noise-in {path}: found {found}, expected 'noise' of {list(expected)}")
    return tensors["noise"].float()


def make_or_load_plans(args, place: Place, references: list[Plan]) -> list[Plan]:
    """One for every prompt."""
    if args.plan_in:
        return [Plan.load(args.plan_in)]
    sampling = Sampling(args.temperature, args.top_p, args.top_k)
    fill_size(args)
    check_size(args.width, args.height)
    planner = load_planner(args.model, place)
    with logging_redirect_tqdm(), tqdm(desc="plan", unit="token") as bar:

        def on_token(i, tokens):
            bar.total = len(args.prompt) * tokens.shape[1]
            bar.update()

        return [make_plan(*planner, prompt, args.width, args.height, batch=args.batch, seed=args.seed, sampling=sampling,
                          references=references, ahead=args.look_ahead, device=place.device, dtype=place.dtype, on_token=on_token)
                for prompt in args.prompt]


def read_references(args, place: Place) -> list[tuple[torch.Tensor, Plan]]:
    """Pixels and tokens of the pictures to edit."""
    images = [read_image(path) for path in args.image]
    vision = load(args.model, VISION, place) if images else None
    return [(image, tokenize(vision, image, place.device, place.dtype)) for image in images]


def encode_references(args, place: Place, images: list[torch.Tensor], tokens: list[Plan]) -> list[tuple[torch.Tensor, Plan]]:
    """Latents and tokens of the pictures to edit."""
    return list(zip(encode_images(load(args.model, VAE, place), images, tokens, place), tokens)) if images else []


def draw_latents(args, place: Place, plans: list[Plan], glyphs: list[torch.Tensor], no_glyphs: torch.Tensor,
                 references: list[tuple[torch.Tensor, Plan]]) -> list[torch.Tensor]:
    dit = load(args.model, DIFFUSION, place)
    latents = []
    with tqdm(total=len(plans) * args.steps, desc="draw", unit="step") as bar:
        for plan, texts in zip(plans, glyphs, strict=True):
            noise = read_noise(args.noise_in, plan) if args.noise_in else draw_noise(args.seed, plan.batch, plan.width, plan.height)
            latents.append(render_latent(dit, plan, texts, no_glyphs, noise, place, steps=args.steps, guidance=args.guidance,
                                         references=references, on_step=lambda i: bar.update()))
    return latents


def write_pictures(args, place: Place, latents: list[torch.Tensor]) -> None:
    vae, captions, pictures = load(args.model, VAE, place), [], []
    for prompt, latent in zip(args.prompt, latents, strict=True):
        for picture in decode_pixels(vae, latent, place):
            path = args.out.with_stem(f"{args.out.stem}-{len(pictures)}") if pictures else args.out
            pictures.append(Image.fromarray((picture * 255).round().byte().numpy()))
            captions.append([prompt])
            pictures[-1].save(path)
            print(f"{path}: {pictures[-1].width}x{pictures[-1].height}, {prompt}")
    if args.sheet:
        contact_sheet(pictures, captions).save(args.sheet)
        print(f"{args.sheet}: all of them")


@torch.inference_mode()
def generate(args) -> None:
    """One part is in memory at a time."""
    check_counts(args, "batch", "steps", "look_ahead")
    check_one_prompt(args)
    place = choose_place(args.device, args.dtype)
    pictures = read_references(args, place)
    images, tokens = [image for image, _ in pictures], [plan for _, plan in pictures]
    plans = make_or_load_plans(args, place, tokens)
    if args.plan_out:
        plans[0].save(args.plan_out)

    encoder = load(args.model, GLYPH, place)
    quotes = REFERENCE if args.reference_quotes else NATURAL
    glyphs = [encode_glyphs(encoder, prompt, place, quotes) for prompt in args.prompt]
    no_glyphs = encode_glyphs(encoder, "", place)
    del encoder
    latents = draw_latents(args, place, plans, glyphs, no_glyphs, encode_references(args, place, images, tokens))
    if args.latent_out:
        save_file({"latent": latents[0].cpu().contiguous()}, args.latent_out)
    write_pictures(args, place, latents)


def run_evaluate(args) -> None:
    fill_size(args)
    evaluate(args, choose_place(args.device, args.dtype))


def convert(args) -> None:
    for path in convert_folder(args.folder, args.out, args.quantise):
        print(f"{path}: {path.stat().st_size / 1e9:.2f} GB")


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        args.run(args)
    except (GLMImageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
