"""rl: the planner or the decoder learns from rewards."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import GLMImageError
from ..pipeline import check_aspect, default_side
from ..pipeline.requests import check_count
from .files import check_files, check_out_folder
from .options import HelpFormatter, Subparsers, add_device, add_model, choose_compute, progress_bar, report
from .train import check_installed

HELP = {
    "prompts": "prompts in a batch; their kinds take turns",
    "group": "plans or pictures of each prompt, which are compared with each other",
    "updates": "updates of the weights in all",
    "reuse": "updates on each batch",
    "learning_rate": "of AdamW, the same at every update",
    "average": "decay per update of the moving average of the weights, which is the result",
    "seed": "of prompts, plans and noise",
    "save_every": "updates after which the state is saved; an interrupted run goes on from there",
    "clip": "how far the ratio of new to old probability may leave 1",
    "kl": "weight of the divergence from the starting weights",
    "sampler": "how random steps are drawn: cps, or sde as in the Flow-GRPO paper",
    "noise": "how random these steps are, up to 1",
    "window": "number of random steps, neither the first nor the last",
    "levels": "noise levels at which each picture is learned",
    "beta": "how far the good and the bad velocity lie from the old one",
}


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser("rl", help="improve the planner or the decoder by rewards (reinforcement learning)",
                                  formatter_class=HelpFormatter)
    parts = command.add_subparsers(dest="part", required=True)
    if not has_later_torch():
        return
