"""prompt: which texts of a prompt are written in the image, and what may go wrong?"""

import argparse

from ..errors import GLMImageError
from ..glyph import DIFFUSERS, NATURAL, check_prompt, rewrite_instructions
from .options import Subparsers, report


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser("prompt", help="say which texts of a prompt are written in the image, and what may "
                                                 "go wrong; exit code 1 if anything may")
    add = command.add_argument
    add("prompt", metavar="PROMPT", help="the prompt to check")
    add("--original", metavar="PROMPT",
        help="the prompt before a language model rewrote it; its quoted texts must all still be there")
    add("--reference-quotes", action="store_true",
        help="treat any two apostrophes as quotation marks, as diffusers does")
    add("--instructions", action="store_true",
        help="instead of checking, print a prompt for a language model that asks for a richer description and leaves "
             "the quoted texts alone")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the report. Raises GLMImageError if anything was found, so that the exit code is 1."""
    rules = DIFFUSERS if args.reference_quotes else NATURAL
    if args.instructions:
        report(rewrite_instructions(args.prompt, rules))
        return
    result = check_prompt(args.prompt, rules, args.original)
    for line in result.lines():
        report(line)
    if result.findings:
        raise GLMImageError(f"the prompt must give no findings (got {len(result.findings)}, see above)")
