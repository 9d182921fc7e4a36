"""Remake what shows the embedded model at work: ``make figures``, or ``python -m tests.figures``, which leaves out the
demo. Run it after a change of the checkpoint, or of what a seed draws.

Evaluates the held-out files, with and without single components, writes the figures into the model card, README.md
and docs/README.zh.md, and draws the thumbnails of the workflows and the pack's icon and banner. Paragraphs that
someone counted by hand stay as they are: read them again.

Needs what the tests need, for the thumbnails also a ComfyUI where the host tests look for one.
"""

import argparse
import json
from pathlib import Path

from glm_core.checkpoint import EMBEDDED
from glm_core.cli import main as command_line
from glm_core.evaluation import ABLATIONS
from tests.support.hosts import PACK

from . import card, identity, thumbnails

STEPS, GUIDANCE, SEED, ABLATED_PROMPTS = 12, 1.5, 0, 50  # the card names them


def evaluations() -> dict[str, list[str]]:
    """The options of every evaluation, by the name of its file."""
    runs = {name: ["--prompts", str(EMBEDDED / f"{name}.jsonl")] for name in card.HELD_OUT}
    for name in card.ABLATED:
        for part in ABLATIONS:
            runs[f"{name}_without_{part}"] = [*runs[name], "--limit", str(ABLATED_PROMPTS), "--without", part]
    return runs


def evaluate(folder: Path, resume: bool) -> dict[str, dict]:
    """What ``evaluate --json`` writes, by the name of the evaluation. Ends the program if one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = ["--steps", str(STEPS), "--guidance", str(GUIDANCE), "--seed", str(SEED)]
    results = {}
    for name, options in evaluations().items():
        path = folder / f"{name}.json"
        if not (resume and path.exists()):
            print(name, flush=True)
            if code := command_line(["evaluate", *options, *settings, "--json", str(path)]):
                raise SystemExit(code)
        results[name] = json.loads(path.read_text(encoding="utf-8"))
    return results


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=PACK / "out" / "figures", metavar="DIR",
                           help="folder of the evaluations' JSON files (default: out/figures)")
    arguments.add_argument("--resume", action="store_true", help="keep the JSON files that are there already")
    arguments.add_argument("--only", choices=("card", "thumbnails", "identity"),
                           help="leave out the others; identity: icon and banner")
    options = arguments.parse_args()
    if options.only in (None, "card"):
        card.write(evaluate(options.out, options.resume))
    if options.only in (None, "thumbnails"):
        thumbnails.write()
    if options.only in (None, "identity"):
        identity.write()
