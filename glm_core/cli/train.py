"""train: the embedded model from scratch."""

import argparse
from pathlib import Path

from ..training.recipe import Recipe, train
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
    train(Recipe(), args.out, choose_compute(args.device, "float32").device)
