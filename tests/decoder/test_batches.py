"""Plan, references and noise that meet in the sampler."""

import pytest
import torch

from glm_core.decoder import DiTConfig, GLMImageDiT, draw_noise, sample_latent
from glm_core.errors import GLMImageError
from glm_core.plans import Plan
from tests.support.tiny import SMALL, random_module

TEXTS = torch.zeros(1, 2, SMALL.glyph_width)


@pytest.fixture(scope="module")
def dit():
    return random_module(GLMImageDiT, DiTConfig.from_json(SMALL.dit(), "tiny"))


def a_plan(batch: int, first_id: int = 0) -> Plan:
    return Plan(torch.full((batch, 2, 2), first_id))


@pytest.mark.parametrize("plan, references, message", [
    (a_plan(3), [], r"plan: the batch size must be 1 or 2, like the noise's \(got 3\)"),
    (a_plan(1), [a_plan(1), a_plan(3)], r"reference 2: the batch size must be 1 or 2, like the noise's \(got 3\)"),
    (a_plan(2, 64), [], r"plan: ids must be from 0 to 63 \(got 64\)"),
    (a_plan(2), [a_plan(1, 64)], r"reference 1: ids must be from 0 to 63 \(got 64\)"),
])
def test_what_does_not_fit_the_noise_or_the_codebook_is_refused(dit, plan, references, message):
    latents = [(torch.zeros(tokens.batch, 16, 8, 8), tokens) for tokens in references]
    with pytest.raises(GLMImageError, match=message):
        sample_latent(dit, plan, TEXTS, TEXTS, draw_noise(0, 2, 64, 64), steps=1, guidance=1, references=latents)


@torch.inference_mode()
def test_one_plan_is_drawn_for_all_of_the_noise(dit):
    latent = sample_latent(dit, a_plan(1), TEXTS, TEXTS, draw_noise(0, 2, 64, 64), steps=1, guidance=1)
    assert latent.shape == (2, 16, 8, 8)
