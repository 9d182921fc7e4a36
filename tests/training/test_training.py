import json
import random

import pytest
import torch
from torch import nn

from glm_core import ops
from glm_core.__main__ import main
from glm_core.geometry import positions
from glm_core.planner import PlannerConfig, PlannerModel, PromptTokenizer
from glm_core.planner.model import KVCache, rotary_table
from glm_core.posters.scene import CELL_CODES
from glm_core.posters.tokenizer import make_tokenizer
from glm_core.training.loop import Muon, Stage, initialise, orthogonalise, run_stage
from glm_core.training.planner import Mix, code_logits, draw_lessons, token_weights
from glm_core.training.recipe import SHORT, train

CPU = torch.device("cpu")


def losses(folder, stage: str) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / f"{stage}.jsonl").read_text().splitlines()]


def fit_a_line(folder, steps: int, stop_at: int | None = None) -> torch.Tensor:
    """Two weights learn a line; at ``stop_at`` the run is cut short."""
    module = nn.Linear(1, 1)
    initialise(module, 0)
    seen = []

    def loss_at(rng):
        if len(seen) == stop_at:
            raise KeyboardInterrupt
        seen.append(1)
        x = torch.rand(16, 1)
        return (module(x).float() - 3 * x - rng.random() / 100).square().mean()

    stage = Stage("line", steps=steps, batch=16, learning_rate=0.1, save_every=10, average=0.9)
    return torch.cat([parameter.flatten() for parameter in run_stage(stage, module, loss_at, folder, CPU).parameters()])


def test_a_run_that_was_cut_short_ends_as_one_that_was_not(tmp_path):
    whole = fit_a_line(tmp_path / "whole", 100)
    with pytest.raises(KeyboardInterrupt):
        fit_a_line(tmp_path / "cut", 100, stop_at=57)
    assert torch.equal(fit_a_line(tmp_path / "cut", 100), whole)
    assert losses(tmp_path / "whole", "line")[-1] < 0.1 * losses(tmp_path / "whole", "line")[0]


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (1, 1)])
def test_muon_in_bfloat16_is_torchs(shape):
    torch.manual_seed(0)
    ours, torchs = (nn.Parameter(start) for start in torch.randn(shape).expand(2, *shape).clone())
    optimizers = Muon([ours], 0.1, torch.bfloat16), torch.optim.Muon([torchs], adjust_lr_fn="match_rms_adamw", weight_decay=0.1)
    for step in range(3):
        ours.grad = torchs.grad = torch.randn(shape)
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = 0.01 * (step + 1)
            optimizer.step()
    assert torch.equal(ours, torchs)


def test_orthogonalised_matrices_keep_their_directions_and_lose_their_sizes():
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(20, 8), full_matrices=False)
    x = orthogonalise(u @ torch.diag(torch.linspace(1, 10, 8)) @ v, (3.4445, -4.775, 2.0315), 5, 1e-7)
    turned = u.T @ x @ v.T
    assert turned.diagonal().min() > 0.6 and turned.diagonal().max() < 1.3
    assert (turned - turned.diagonal().diag()).abs().max() < 1e-4


@torch.inference_mode()
def test_padded_batches_give_the_logits_of_generation():
    """What is trained, rows padded behind and no cache, is what generation computes step by step."""
    tokenizer = PromptTokenizer(make_tokenizer().to_str())
    config = PlannerConfig.from_json(SHORT.planner_config(8192), "short")
    model = PlannerModel(config, operations=ops)
    initialise(model, 0)
    model.requires_grad_(False)
    for mix in (Mix(), Mix(cells=6, bare=1.0, fine=False), Mix(free=1.0, bare=1.0), Mix(pairs=1.0), Mix(edits=1.0)):
        jobs, wanted = zip(*draw_lessons(model, tokenizer, 3, mix, random.Random(0)))
        batched = code_logits(model, jobs, torch.tensor(wanted), CPU)
        for job, codes, logits in zip(jobs, wanted, batched):
            ids = torch.cat((job.prompt_ids, torch.tensor([codes[:-1]])), dim=1)
            assert ids.shape[1] == job.length - 1 and max(codes) < config.codebook_size
            rotary = rotary_table(positions([*job.segments, *job.grids]), config, torch.float32)
            cache = KVCache(config, 1, job.length, "cpu", torch.float32)
            hidden = model(model.embed(ids, CPU, torch.float32), tuple(table[: job.length - 1] for table in rotary), cache, 0)
            alone = model.lm_head(hidden)[0, job.prompt_ids.shape[1] - 1 :]
            assert (alone - logits).abs().max() <= 1e-4


def test_letters_and_previews_count_in_a_planners_loss_as_the_mix_says():
    letter, empty = (next(i for code, i in CELL_CODES.items() if code[0] == what) for what in ("letter", "empty"))
    plan = torch.full((1, 4 + 36), empty)
    plan[0, 6] = letter
    expected = torch.tensor([[2.0] * 4 + [1.0] * 36])
    assert torch.equal(token_weights(plan, Mix(cells=6)), expected)
    expected[0, 6] = 5
    assert torch.equal(token_weights(plan, Mix(cells=6, letters=5.0)), expected)


@pytest.mark.long
def test_the_short_recipe_learns_and_writes_a_checkpoint_that_draws(tmp_path):
    pytest.importorskip("matplotlib")
    train(SHORT, tmp_path, CPU)
    last = {"planner-small": "planner-mixed", "decoder": "decoder-last"}
    stages = "vision", "autoencoder", *last, *last.values()
    curves = {stage: losses(tmp_path / "training", stage) for stage in stages}
    for stage, share in {"vision": 0.5, "autoencoder": 0.9, "planner-small": 0.5, "decoder": 0.9}.items():
        assert curves[stage][-1] < share * curves[stage][0], stage
    for first, second in last.items():  # batches of a mix are of many kinds, so that two of them say little
        assert max(curves[second]) < 0.9 * curves[first][0], second
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert main(["generate", "--model", str(tmp_path), "--prompt", 'A red poster. At the top, "HI" in white letters.', "--width", "256",
                 "--height", "256", "--steps", "2", "--out", str(tmp_path / "a.png")]) == 0


