"""convert: the released folder → one file per part."""

import argparse
from pathlib import Path

from ..checkpoint import FORMATS, convert_folder
from .options import Subparsers


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
    for path in convert_folder(args.folder, args.out, args.quantise):
        print(f"{path}: {path.stat().st_size / 1e9:.2f} GB")
