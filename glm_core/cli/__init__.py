"""The command line, one file per command."""

import argparse
import logging
import sys
from io import TextIOWrapper

from safetensors import SafetensorError

from ..errors import GLMImageError
from . import benchmark, check, convert, evaluate, generate, prompt, rl, train

INTERRUPTED = 130  # as shells have it: 128 + SIGINT
COMMANDS = generate, prompt, evaluate, benchmark, convert, check, train, rl


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the options, without the list of all of them."""

    def error(self, message: str):
        self.exit(2, f"error: {one_line(message)} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m glm_core", description="GLM-Image without ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_command(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit code. Bad input is one line on standard error and code 1, or 2 where options are
    malformed; Ctrl-C is one line and code 130.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a prompt that the terminal cannot show must not end the run
    try:
        args = make_parser().parse_args(argv)
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        args.run(args)
    except (GLMImageError, OSError, SafetensorError) as error:  # the last: as on a full disk
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what was written before stays", file=sys.stderr)  # the line may hold a bar, or ^C
        return INTERRUPTED
    return 0


def one_line(message: str) -> str:
    return " ".join(message.splitlines())
