"""The command line, one file per command."""

import argparse
import logging
import sys

from ..errors import GLMImageError
from . import check, convert, evaluate, generate, train

COMMANDS = generate, evaluate, convert, check, train


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m glm_core", description="GLM-Image without ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_command(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code. Bad input gives one line on standard error and code 1."""
    args = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        args.run(args)
    except (GLMImageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
