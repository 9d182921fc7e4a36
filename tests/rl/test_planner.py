import json
import random
from copy import deepcopy

import pytest
import torch

from glm_core.pipeline import Compute
from glm_core.planner import generate_plan, score
from glm_core.plans import Plan
from glm_core.rl.advantages import Advantages
from glm_core.rl.loop import run_loop
from glm_core.rl.lora import attach_lora
from glm_core.rl.planner import PlannerLearner, grpo_loss, token_advantages
from glm_core.rl.rewards import WeightedReward
from glm_core.rl.rollouts import ON_POLICY
from glm_core.rl.settings import GRPO, RLSettings
from tests.rl.toy import SOURCE, EvenCodes
from tests.support.tiny import SMALL, prompt_tokenizer, random_planner

CPU = Compute(torch.device("cpu"), torch.float32)
SETTINGS = RLSettings(prompts=3, group=6, updates=6, learning_rate=3e-3, average=0.5, save_every=2)


def learner(trained=None, model=None, settings=SETTINGS, method=GRPO()) -> PlannerLearner:
    model = model or random_planner(SMALL).requires_grad_(True)
    return PlannerLearner(model, prompt_tokenizer(SMALL), trained or model, SOURCE,
                          [WeightedReward("even", 1.0, EvenCodes())], settings, method, CPU)


def rewards(folder) -> list[float]:
    return [json.loads(line)["even"] for line in (folder / "planner.jsonl").read_text().splitlines()]


def test_the_reward_rises(tmp_path):
    run_loop("planner", learner(), SETTINGS, tmp_path)
    assert max(rewards(tmp_path)[:1]) + 0.15 < rewards(tmp_path)[-1]


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path):
    whole = run_loop("planner", learner(), SETTINGS, tmp_path / "whole")

    def stop(update: int, figures: dict) -> None:
        if update == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_loop("planner", learner(), SETTINGS, tmp_path / "cut", stop)
    resumed = run_loop("planner", learner(), SETTINGS, tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_scores_of_generation_are_those_of_training():
    learning = learner()
    layout = learning.lay_out(SOURCE.draw(random.Random(0), 1)[0])
    plans = generate_plan(learning.model, layout, batch=4, seed=3, sampling=ON_POLICY)
    assert plans.log_probs is not None
    assert torch.allclose(score(learning.model, layout, plans), plans.log_probs, atol=1e-5)


def test_coarse_tokens_come_first_and_have_the_advantage_of_their_sample():
    plans = Plan(torch.zeros(2, 1, 2, dtype=torch.int64), torch.zeros(2, 1, 1, dtype=torch.int64))
    found = Advantages(torch.tensor([[3.0, 4.0]]), [torch.tensor([[[1.0, 2.0]], [[5.0, 6.0]]])], {})
    assert token_advantages(found, 0, plans).tolist() == [[3, 1, 2], [4, 5, 6]]


def gradient(now: float, advantage: float, kl: float = 0.0, start: float = 0.0) -> float:
    """Of the loss by the log-probability of a token that was drawn with log-probability 0."""
    log_probs = torch.tensor([[now]], requires_grad=True)
    zero = torch.zeros(1, 1)
    loss = grpo_loss(log_probs, zero, zero + start, zero + advantage, GRPO(clip=0.2, kl=kl))
    (found,) = torch.autograd.grad(loss, log_probs)
    return found.item()


def test_a_token_is_pushed_by_its_advantage_as_long_as_its_probability_is_near():
    assert gradient(0.0, 2.0) == -2.0 and gradient(0.0, -2.0) == 2.0
    assert gradient(0.3, 2.0) == 0.0 and gradient(-0.3, -2.0) == 0.0  # far enough already
    assert gradient(-0.3, 2.0) < 0 < gradient(0.3, -2.0)  # far on the wrong side: pushed back


def test_divergence_pulls_back_to_the_start():
    assert gradient(0.5, 0.0, kl=1.0, start=0.5) == 0
    assert gradient(0.5, 0.0, kl=1.0, start=0.0) > 0 > gradient(-0.5, 0.0, kl=1.0, start=0.0)


def test_the_estimate_of_the_divergence_has_its_mean():
    p, q = torch.tensor([0.7, 0.2, 0.1]).log(), torch.tensor([0.5, 0.3, 0.2]).log()
    zero = torch.zeros(1, 1)
    estimates = torch.stack([grpo_loss(p[i].view(1, 1), zero, q[i].view(1, 1), zero, GRPO(kl=1.0)) for i in range(3)])
    assert torch.allclose((p.exp() * estimates).sum(), (p.exp() * (p - q)).sum())


def test_the_first_update_on_new_plans_never_meets_the_clip(tmp_path):
    """Old and new weights are the same; with two updates on the same plans they are not."""
    settings = RLSettings(prompts=2, group=4, updates=2, reuse=2, learning_rate=0.05)
    wide, narrow = (run_loop("planner", learner(settings=settings, method=GRPO(clip=clip, kl=0.0)), settings,
                             tmp_path / str(clip)) for clip in (1.0, 1e-4))
    assert not all(torch.equal(a, b) for a, b in zip(wide.parameters(), narrow.parameters(), strict=True))
    once = RLSettings(prompts=2, group=4, updates=2, reuse=1, learning_rate=0.05)
    wide, narrow = (run_loop("planner", learner(settings=once, method=GRPO(clip=clip, kl=0.0)), once,
                             tmp_path / f"once {clip}") for clip in (1.0, 1e-4))
    assert all(torch.equal(a, b) for a, b in zip(wide.parameters(), narrow.parameters(), strict=True))


def test_loras_learn_while_the_model_stays(tmp_path):
    model = random_planner(SMALL)
    before = deepcopy(model.state_dict())
    loras = attach_lora(model, 4, 0, "layers")
    run_loop("planner", learner(loras, model), SETTINGS, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert rewards(tmp_path)[0] < rewards(tmp_path)[-1]
