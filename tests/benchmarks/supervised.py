"""Supervised training of the embedded model, to compare with ``rl``: the same loop, prompts and measure.

``python -m tests.benchmarks.supervised planner|decoder --out OUT [--updates N] [--measure N] …``

The planner: each update raises the probability of the codes of as many posters as ``rl planner`` draws plans; figures
are of codes, without pictures. The decoder: flow matching on drawn signs, Chinese serif posters, and posters and edits
of all kinds. ``--compare MODEL`` measures a checkpoint instead, on the same tasks.
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from glm_core.checkpoint import DIFFUSION, EMBEDDED, GLYPH, PLANNER, VAE, locate, read_part
from glm_core.glyph import quoted_texts
from glm_core.ocr import make_reader
from glm_core.pipeline import Compute, LoadedPlanner, load, load_planner
from glm_core.planner import lay_out_prompt, score
from glm_core.plans import Plan
from glm_core.posters import GRID, HELD_OUT_WORDS, Style, caption, cell_codes, coarse_grid_codes, random_poster
from glm_core.posters.random_posters import random_lengths
from glm_core.rl.held_out import HALVES, decoder_tasks, planner_tasks
from glm_core.rl.loop import run_loop
from glm_core.rl.measure import Look, measure_decoder, measure_planner
from glm_core.rl.output import write_checkpoint
from glm_core.rl.pictures import Painter
from glm_core.rl.posters import planner_source
from glm_core.rl.settings import RLSettings
from glm_core.rl.shares import Shares, table
from glm_core.rl.tasks import RLTask
from glm_core.training.decoder import Group, Renderer, decoder_loss, draw_posters, draw_short_texts, make_group

PARTS = {"planner": PLANNER, "decoder": DIFFUSION}
CPU = Compute(torch.device("cpu"), torch.float32)
PLANS = 3  # of each measured prompt
STEPS, GUIDANCE = 12, 1.5  # of measured pictures
SIGNS, POSTERS = 16, 8  # in a group; a poster costs some three times as much as a sign
CHINESE_SERIF = Style(free=True, chinese=True, font="serif")
SERIF = 0.5  # share of the other groups that have serifs


def true_plan(task: RLTask) -> Plan:
    """The plan of a task's poster, with a coarse grid if the planner writes one."""
    assert task.poster is not None
    coarse = None if task.references else torch.tensor([coarse_grid_codes(task.poster)])
    return Plan(torch.tensor([cell_codes(task.poster, quoted_texts(task.prompt))]), coarse)


class SupervisedPlanner:
    """A Learner of rl/loop.py."""

    def __init__(self, model: Path, settings: RLSettings):
        self.planner, self.settings, self.source = load_planner(model, CPU, fused=False), settings, planner_source()
        self.trained = self.planner.model.requires_grad_(True)

    def collect(self, rng: random.Random, first: int, average: nn.Module) -> tuple[list[RLTask], dict]:
        return self.source.draw(rng, self.settings.prompts * self.settings.group, first), {}

    def losses(self, batch: list[RLTask], rng: random.Random) -> Iterator[Tensor]:
        for task in batch:
            layout = lay_out_prompt(self.planner.tokenizer, self.planner.model.config, task.prompt, task.width,
                                    task.height, task.references)
            yield -score(self.planner.model, layout, true_plan(task)).mean() / len(batch)


class SupervisedDecoder:
    """A Learner of rl/loop.py. The glyph encoder stays as it is."""

    def __init__(self, model: Path, settings: RLSettings):
        dit, glyph, self.vae = (load(model, part, CPU) for part in (DIFFUSION, GLYPH, VAE))
        self.settings, self.renderer = settings, Renderer(dit, glyph.requires_grad_(False))
        self.trained = dit.requires_grad_(True)

    def collect(self, rng: random.Random, first: int, average: nn.Module) -> tuple[Group, dict]:
        return (self.signs, self.chinese_serif, self.signs, self.posters)[first // self.settings.prompts % 4](rng), {}

    def signs(self, rng: random.Random) -> Group:
        return draw_short_texts(self.vae, SIGNS, SERIF, rng, CPU.device)

    def posters(self, rng: random.Random) -> Group:
        return draw_posters(self.vae, POSTERS, SERIF, rng, CPU.device)

    def chinese_serif(self, rng: random.Random) -> Group:
        lengths = random_lengths(rng, GRID)
        posters = [random_poster(rng, lengths, HELD_OUT_WORDS, CHINESE_SERIF) for _ in range(POSTERS)]
        return make_group(self.vae, posters, [caption(poster) for poster in posters], CPU.device)

    def losses(self, batch: Group, rng: random.Random) -> Iterator[Tensor]:
        yield decoder_loss(self.renderer, batch, rng, CPU.device)


def measured(part: str, model: Path, half: str, count: int) -> Shares:
    if part == "planner":
        planner: LoadedPlanner = load_planner(model, CPU, fused=False)
        return measure_planner(planner, CPU, planner_tasks(half, count), PLANS, None)
    painter = Painter.load(model, CPU, STEPS, GUIDANCE)
    return measure_decoder(Look(painter, make_reader()), decoder_tasks(half, count))


def train(args: argparse.Namespace) -> None:
    """Writes a checkpoint to ``args.out``, in which the part of ``args.model`` has learned more."""
    part = args.part
    settings = RLSettings(updates=args.updates, learning_rate=args.learning_rate, seed=args.seed, save_every=20,
                          average=0.97 if part == "planner" else 0.98)
    learner = (SupervisedPlanner if part == "planner" else SupervisedDecoder)(args.model, settings)
    weights = dict(run_loop(part, learner, settings, args.out / "training").state_dict())
    if args.average_with:
        other = read_part(locate(args.average_with, PARTS[part]), PARTS[part]).tensors
        weights = {name: (value + other[name].float()) / 2 for name, value in weights.items()}
    write_checkpoint(args.model, args.out, PARTS[part], weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--model", type=Path, default=EMBEDDED, help="checkpoint to start from")
    parser.add_argument("--out", type=Path, help="folder for the checkpoint, the state and the log")
    parser.add_argument("--updates", type=int, default=150)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--average-with", type=Path, metavar="MODEL",
                        help="write the mean of the new weights and those of this checkpoint (WiSE-FT, Wortsman et "
                             "al. 2022), which forgets less of what that checkpoint could do")
    parser.add_argument("--measure", type=int, default=40, help="tasks of each kind")
    parser.add_argument("--half", choices=HALVES, default=HALVES[0])
    parser.add_argument("--compare", type=Path, help="a checkpoint to measure in place of training")
    args = parser.parse_args()
    if args.compare is None:
        train(args)
    before, after = (measured(args.part, model, args.half, args.measure)
                     for model in (args.model, args.compare or args.out))
    print("\n".join(table(before, after)))


if __name__ == "__main__":
    main()
