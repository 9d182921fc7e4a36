"""convert: the released folder → one file per part."""

import argparse
import re
from pathlib import Path

from ..checkpoint import FORMATS, PARTS, Converted, LayerError, convert_folder
from ..errors import GLMImageError
from ..pipeline import latent_colours
from .files import check_out_folder, same_file_key
from .options import Subparsers, check_parts, report

MOST_NAMED = 3  # matrices in a report
BLOCK = re.compile(r".*?\.\d+\.(.*)\.weight")  # a matrix's name; the group is its kind


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser("convert", help="released folder → one file per part, for ComfyUI's models folder")
    add = command.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the released folder")
    add("out", type=Path, metavar="OUT", help="folder to write to, for instance ComfyUI/models")
    formats = "; ".join(f"{entry.name} ({entry.summary})" for entry in FORMATS.values())
    add("--quantise", choices=FORMATS,
        help=f"store the large matrices of planner and diffusion model in fewer bits, with comfy-kitchen: {formats}")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    check_out(args.folder, args.out)
    check_parts(args.folder, PARTS)
    report("the VAE is read first, for the colours of sampling previews")
    for converted in convert_folder(args.folder, args.out, args.quantise, latent_colours(args.folder)):
        report(f"{converted.path}: {converted.path.stat().st_size / 1e9:.2f} GB")
        if converted.errors:
            report(describe_errors(converted))


def describe_errors(converted: Converted) -> str:
    """The relative error of all quantised matrices, of each kind of them, and of the worst ones."""
    errors = converted.errors
    kinds: dict[str, list[LayerError]] = {}
    for name, error in errors.items():
        kinds.setdefault(BLOCK.sub(r"\1", name), []).append(error)
    worst = sorted(errors, key=lambda name: -errors[name].relative)[:MOST_NAMED]
    return "\n".join([
        f"  relative error of the quantised matrices: {LayerError.total(errors.values()).relative:.4f}",
        "  by kind: " + ", ".join(f"{kind} {LayerError.total(each).relative:.4f}" for kind, each in kinds.items()),
        "  largest: " + ", ".join(f"{name.removesuffix('.weight')} {errors[name].relative:.4f}" for name in worst)])


def check_out(folder: Path, out: Path) -> None:
    """Raise GLMImageError unless the parts can be written to ``out``, which is not where they are read from."""
    check_out_folder("OUT", out)
    if same_file_key(folder) == same_file_key(out):
        raise GLMImageError(f"OUT {out}: it must be another folder than FOLDER (got the same)")
    for place in dict.fromkeys((out / part.file).parent for part in PARTS):
        check_out_folder("OUT", place)
