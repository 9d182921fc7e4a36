"""check: is a downloaded or converted folder whole, and GLM-Image?"""

import argparse
import platform
from pathlib import Path

import torch

from ..errors import GLMImageError
from ..pipeline.check import check_model
from .options import MODEL_HELP, Subparsers, model_folder


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser("check", help="say whether a model folder is complete; prints a report for an issue")
    command.add_argument("model", type=model_folder, metavar="DIR", help=MODEL_HELP)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the report. Raises GLMImageError if there are faults, so that the exit code is 1."""
    model: Path = args.model
    report = check_model(model)
    print(f"model folder {model.resolve().name}, Python {platform.python_version()}, torch {torch.__version__}, "
          f"{platform.system()} {platform.machine()}")
    for line in report.lines:
        print(line)
    for fault in report.faults:
        print(f"fault: {fault}")
    if report.faults:
        raise GLMImageError(f"{model.resolve().name}: {len(report.faults)} of the lines above "
                            f"{'is a fault' if len(report.faults) == 1 else 'are faults'}")
    print("whole: all parts were found and fit together")
