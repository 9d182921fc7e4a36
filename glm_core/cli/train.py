"""train: the embedded model from scratch."""

import argparse
from importlib.util import find_spec
from pathlib import Path

import torch

from ..errors import GLMImageError
from .files import check_out_folder
from .options import HelpFormatter, Subparsers, add_device, choose_compute


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser(
        "train", help="train the embedded model from scratch; an interrupted run resumes",
        formatter_class=HelpFormatter)
    command.add_argument("out", type=Path, metavar="OUT",
                         help="folder for the checkpoint and its loss curves; states and logs go to training/ in it")
    add_device(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    check_out_folder("OUT", args.out)
    check_out_folder("OUT", args.out / "training")
    check_installed("train")
    from ..training.recipe import Recipe, train  # needs a later torch than the other commands

    train(Recipe(), args.out, choose_compute(args.device, "float32").device)


def check_installed(command: str) -> None:
    """Raise GLMImageError, naming the command, if a package is missing or too old."""
    if not hasattr(torch.optim, "Muon"):
        raise GLMImageError(f"{command}: torch must be 2.9 or later (got {torch.__version__})")
    if find_spec("matplotlib") is None:
        raise GLMImageError(f"{command}: matplotlib is not installed; pip install matplotlib")
