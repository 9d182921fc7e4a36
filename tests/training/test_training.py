import json

import pytest
import torch
from torch import nn

from glm_core import ops
from glm_core.__main__ import main
from glm_core.planner import PlannerConfig, PlannerModel, PromptTokenizer
from glm_core.planner.grids import positions
from glm_core.planner.model import KVCache, rotary_table
from glm_core.training.loop import Stage, initialise, run_stage
from glm_core.training.planner import PREVIEW, TARGET, code_logits
from glm_core.training.recipe import SHORT, train
from glm_core.training.tokenizer import make_tokenizer

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


@torch.inference_mode()
def test_padded_batches_give_the_logits_of_generation():
    """What is trained, rows padded behind and no cache, is what generation computes step by step."""
    tokenizer = PromptTokenizer(make_tokenizer().to_str())
    config = PlannerConfig.from_json(SHORT.planner_config(1024), "short")
    model = PlannerModel(config, operations=ops)
    initialise(model, 0)
    prompts = [tokenizer.layout(text, [TARGET, PREVIEW], config.image_start_token_id) for text in ("A red poster.", 'A long one: "ABC".')]
    codes = torch.randint(0, config.codebook_size, (2, 80), generator=torch.Generator().manual_seed(0))
    batched = code_logits(model, prompts, codes, CPU)
    for prompt, written, logits in zip(prompts, codes, batched):
        ids = torch.cat((torch.tensor(prompt), written[:-1]))[None]
        rotary = rotary_table(positions([len(prompt), PREVIEW, TARGET]), config, torch.float32)
        cache = KVCache(config, 1, ids.shape[1] + 1, "cpu", torch.float32)
        alone = model.lm_head(model(ids, tuple(table[: ids.shape[1]] for table in rotary), cache, 0))[0, len(prompt) - 1 :]
        assert (alone - logits).abs().max() <= 1e-4


@pytest.mark.long
def test_the_short_recipe_learns_and_writes_a_checkpoint_that_draws(tmp_path):
    pytest.importorskip("matplotlib")
    train(SHORT, tmp_path, CPU)
    for stage, share in (("vision", 0.5), ("autoencoder", 0.9), ("planner", 0.5), ("decoder", 0.9)):
        curve = losses(tmp_path / "training", stage)
        assert curve[-1] < share * curve[0], stage
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert main(["generate", "--model", str(tmp_path), "--prompt", 'A red poster. At the top, "HI" in white letters.', "--width", "256",
                 "--height", "256", "--steps", "2", "--out", str(tmp_path / "a.png")]) == 0


