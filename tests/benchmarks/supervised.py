"""Supervised training of the embedded planner, to compare with ``rl planner``: the same prompts, loop and measure.

``python -m tests.benchmarks.supervised --out OUT [--updates N] [--measure N]``

Each update raises the probability of the codes of as many posters as ``rl planner`` draws plans. ``--compare MODEL``
measures a checkpoint instead, on the same tasks. All figures are of the embedded model's codes, without pictures.
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from glm_core.checkpoint import EMBEDDED
from glm_core.glyph import quoted_texts
from glm_core.pipeline import Compute, LoadedPlanner, load_planner
from glm_core.planner import lay_out_prompt, score
from glm_core.plans import Plan
from glm_core.posters import cell_codes, coarse_grid_codes
from glm_core.rl.held_out import HALVES, planner_tasks
from glm_core.rl.loop import run_loop
from glm_core.rl.measure import measure_planner
from glm_core.rl.posters import planner_source
from glm_core.rl.settings import RLSettings
from glm_core.rl.shares import Shares, table
from glm_core.rl.tasks import RLTask

CPU = Compute(torch.device("cpu"), torch.float32)
PLANS = 3  # of each measured prompt


def true_plan(task: RLTask) -> Plan:
    """The plan of a task's poster, with a coarse grid if the planner writes one."""
    assert task.poster is not None
    coarse = None if task.references else torch.tensor([coarse_grid_codes(task.poster)])
    return Plan(torch.tensor([cell_codes(task.poster, quoted_texts(task.prompt))]), coarse)


class SupervisedLearner:
    """A Learner of rl/loop.py."""

    def __init__(self, planner: LoadedPlanner, settings: RLSettings):
        self.planner, self.settings, self.source = planner, settings, planner_source()
        self.trained = planner.model.requires_grad_(True)

    def collect(self, rng: random.Random, first: int, average: torch.nn.Module) -> tuple[list[RLTask], dict]:
        return self.source.draw(rng, self.settings.prompts * self.settings.group, first), {}

    def losses(self, batch: list[RLTask], rng: random.Random) -> Iterator[Tensor]:
        for task in batch:
            layout = lay_out_prompt(self.planner.tokenizer, self.planner.model.config, task.prompt, task.width,
                                    task.height, task.references)
            yield -score(self.planner.model, layout, true_plan(task)).mean() / len(batch)


def measured(planner: LoadedPlanner, half: str, count: int) -> Shares:
    return measure_planner(planner, CPU, planner_tasks(half, count), PLANS, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for the state and the log")
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument("--measure", type=int, default=40, help="tasks of each kind")
    parser.add_argument("--half", choices=HALVES, default=HALVES[0])
    parser.add_argument("--compare", type=Path, help="a checkpoint to measure in place of training")
    args = parser.parse_args()
    before = measured(load_planner(EMBEDDED, CPU), args.half, args.measure)
    if args.compare:
        planner = load_planner(args.compare, CPU)
    else:
        planner = load_planner(EMBEDDED, CPU, fused=False)
        settings = RLSettings(updates=args.updates, learning_rate=2e-4, average=0.97, save_every=20)
        run_loop("supervised", SupervisedLearner(planner, settings), settings, args.out)
    print("\n".join(table(before, measured(planner, args.half, args.measure))))


if __name__ == "__main__":
    main()
