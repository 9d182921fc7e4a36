import json
import random

import pytest
import torch
from torch import nn

from glm_core.errors import GLMImageError
from glm_core.rl.loop import run_loop, weights_of
from glm_core.rl.settings import RLSettings

SETTINGS = RLSettings(prompts=2, updates=12, reuse=2, learning_rate=0.05, average=0.5, save_every=4)


class Line:
    """Learns to double a number. Interrupted when it collects for the time ``stop_at``."""

    def __init__(self, stop_at: int | None = None):
        torch.manual_seed(0)
        self.trained, self.stop_at, self.collected = nn.Linear(1, 1), stop_at, 0
        self.firsts = []

    def collect(self, rng: random.Random, first: int, average: nn.Module):
        if self.collected == self.stop_at:
            raise KeyboardInterrupt
        self.collected += 1
        self.firsts.append(first)
        return torch.rand(8, 1) + rng.random(), {"reward": 0.5}

    def losses(self, batch, rng: random.Random):
        for half in batch.chunk(2):
            yield (self.trained(half) - 2 * half).square().mean()


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path):
    whole = weights(run_loop("line", Line(), SETTINGS, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_loop("line", Line(stop_at=3), SETTINGS, tmp_path / "cut")
    resumed = Line()
    assert torch.equal(weights(run_loop("line", resumed, SETTINGS, tmp_path / "cut")), whole)
    assert resumed.firsts == [4, 6, 8, 10]  # goes on after the four updates that were saved, at two tasks for each two


def test_every_batch_is_logged_once(tmp_path):
    run_loop("line", Line(), SETTINGS, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "line.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert all(line["reward"] == 0.5 and line["gradient"] > 0 for line in lines)


def test_what_is_done_again_is_logged_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_loop("line", Line(stop_at=3), SETTINGS, tmp_path)
    with (tmp_path / "line.jsonl").open("a") as file:
        file.write('{"step": 8, "rew')  # killed while writing
    run_loop("line", Line(), SETTINGS, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "line.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]


class NoNumbers(Line):
    def losses(self, batch, rng: random.Random):
        for loss in super().losses(batch, rng):
            yield loss * float("nan")


def test_a_gradient_that_is_not_finite_ends_the_run_and_changes_no_weights(tmp_path):
    learner = NoNumbers()
    before = weights(learner.trained)
    with pytest.raises(GLMImageError, match="the gradient must be finite"):
        run_loop("line", learner, SETTINGS, tmp_path)
    assert torch.equal(weights(learner.trained), before)


class Nothing(Line):
    """All samples are equally good."""

    def losses(self, batch, rng: random.Random):
        return iter(())


def test_without_losses_nothing_changes_also_after_resuming(tmp_path):
    learner = Nothing()
    before = weights(learner.trained)
    run_loop("line", learner, SETTINGS, tmp_path)
    assert torch.equal(weights(run_loop("line", Nothing(), SETTINGS, tmp_path)), before)
    assert [json.loads(line)["gradient"] for line in (tmp_path / "line.jsonl").read_text().splitlines()] == [0.0] * 6


class Plane(Line):
    """Another model."""

    def __init__(self):
        super().__init__()
        self.trained = nn.Linear(2, 1)


def test_the_state_of_another_model_is_refused(tmp_path):
    run_loop("line", Line(), SETTINGS, tmp_path)
    with pytest.raises(GLMImageError, match="must be the state of these weights .*average.module.weight"):
        run_loop("line", Plane(), SETTINGS, tmp_path)


def test_a_damaged_state_is_refused_by_name(tmp_path):
    run_loop("line", Line(), SETTINGS, tmp_path)
    state = tmp_path / "line.state.safetensors"
    state.write_bytes(state.read_bytes()[:-7])
    with pytest.raises(GLMImageError, match="line.state.safetensors: not a complete safetensors file"):
        run_loop("line", Line(), SETTINGS, tmp_path)


def test_the_result_is_the_average_of_the_weights_from_the_start_on(tmp_path):
    seen, learner = [], Line()
    seen.append(weights(learner.trained))
    settings = RLSettings(prompts=2, updates=2, learning_rate=0.05, average=0.75, save_every=1)
    result = run_loop("line", learner, settings, tmp_path, lambda i, figures: seen.append(weights(learner.trained)))
    start, first, second = seen
    expected = 0.75 * (0.75 * start + 0.25 * first) + 0.25 * second
    assert torch.allclose(weights(result), expected)


def test_other_weights_hold_inside_only(tmp_path):
    own, other = nn.Linear(2, 2), nn.Linear(2, 2)
    before = weights(own)
    with pytest.raises(KeyboardInterrupt), weights_of(own, other):
        assert torch.equal(weights(own), weights(other))
        raise KeyboardInterrupt
    assert torch.equal(weights(own), before) and not torch.equal(weights(other), before)
