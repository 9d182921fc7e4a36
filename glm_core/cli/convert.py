"""convert: the released folder → one file per part."""

import argparse
from pathlib import Path

from ..checkpoint import FORMATS, PARTS, convert_folder
from ..errors import GLMImageError
from .files import check_out_folder, same_file_key
from .options import Subparsers, check_parts, report


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser("convert", help="released folder → one file per part, for ComfyUI's models folder")
    add = command.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the released folder")
    add("out", type=Path, metavar="OUT", help="folder to write to, for instance ComfyUI/models")
    formats = "; ".join(f"{entry.name} ({entry.summary})" for entry in FORMATS.values())
    add("--quantise", choices=FORMATS,
        help=f"store the large matrices of planner and diffusion model in fewer bits: {formats}")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    check_out(args.folder, args.out)
    check_parts(args.folder, PARTS)
    for path in convert_folder(args.folder, args.out, args.quantise):
        report(f"{path}: {path.stat().st_size / 1e9:.2f} GB")


def check_out(folder: Path, out: Path) -> None:
    """Raise GLMImageError unless the parts can be written to ``out``, which is not where they are read from."""
    check_out_folder("OUT", out)
    if same_file_key(folder) == same_file_key(out):
        raise GLMImageError(f"OUT {out}: it must be another folder than FOLDER (got the same)")
    for place in dict.fromkeys((out / part.file).parent for part in PARTS):
        check_out_folder("OUT", place)
