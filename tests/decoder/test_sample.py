"""Euler's method and guidance, with a network whose velocities are known."""

from types import SimpleNamespace

import pytest
import torch

from glm_core.decoder import draw_noise, sample_latent
from glm_core.plans import Plan

CONDITIONAL, UNCONDITIONAL = 3.0, 1.0
PLAN = Plan(torch.arange(6).view(1, 2, 3))
GLYPHS, NO_GLYPHS = torch.ones(1, 4, 8), torch.zeros(1, 1, 8)


class ConstantVelocity:
    """Gives one velocity with glyphs, another without, and notes what each branch sees."""

    config = SimpleNamespace(prior_vq_quantizer_codebook_size=64)

    def __init__(self):
        self.seen = []

    def __call__(self, x, timestep, context, prior=None, references=()):
        self.seen.append((bool(context.any()), prior is not None, len(references)))
        return torch.full_like(x, CONDITIONAL if context.any() else UNCONDITIONAL)

    def reference_keys_values(self, latent, prior):
        return [(latent, prior)]


def sample(dit, guidance, references=()):
    noise = draw_noise(0, 1, 96, 64)
    latent = sample_latent(dit, PLAN, GLYPHS, NO_GLYPHS, noise, steps=3, guidance=guidance, references=references)
    return latent - noise


@pytest.mark.parametrize("guidance, velocity", [(1.5, 4.0), (4.0, 9.0), (1.0, 3.0), (0.0, 3.0), (-2.0, 3.0)])
def test_guidance_goes_from_the_unconditional_velocity_to_beyond_the_conditional_one(guidance, velocity):
    change = sample(ConstantVelocity(), guidance)
    assert (change + velocity).abs().max() <= 1e-5  # sigma falls from 1 to 0


def test_the_unconditional_branch_sees_neither_plan_nor_references():
    dit = ConstantVelocity()
    sample(dit, 1.5, [(draw_noise(1, 1, 96, 64), PLAN)])
    assert dit.seen == [(True, True, 1), (False, False, 0)] * 3


def test_without_guidance_the_unconditional_branch_does_not_run():
    dit = ConstantVelocity()
    sample(dit, 1.0)
    assert dit.seen == [(True, True, 0)] * 3
