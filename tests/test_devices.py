"""All of a run is computed where it was asked for, and no number is read back on the way.

The parts run on torch's meta device, whose tensors have shapes and no numbers: a tensor left on the CPU, or a number that the
program wants to see, raises there. On a GPU the one would raise too and the other would hold it up.
"""

import pytest
import torch

from glm_core.checkpoint import DIFFUSION, EMBEDDED, GLYPH, VAE, VISION
from glm_core.pipeline import MODULES, Place, draw_noise, encode_glyphs, encode_images, load, load_planner, render_latent
from glm_core.planner import Sampling, generate, plan_prompt
from glm_core.plans import DROPPED, Plan
from glm_core.vision import tokenize

META = Place(torch.device("meta"), torch.bfloat16)
PROMPT = 'A red poster. At the top, "HI" in white letters.'


@pytest.fixture(autouse=True)
def nothing_to_seed(monkeypatch):
    """Meta has no generators."""
    monkeypatch.setattr(generate, "seeded_generators", lambda seed, batch, device: range(batch))
    monkeypatch.setattr(generate, "draw_sampling_noise", lambda items, codes, sampling: torch.ones(len(items), codes, device=META.device))
    monkeypatch.setattr(Plan, "check_codes", lambda plan, codes: None)  # looks at the ids, once a run


@pytest.fixture(scope="module")
def parts():
    return {part: load(EMBEDDED, part, META) for part in MODULES}


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=1), Sampling(top_k=50, top_p=1.0)])
def test_the_planner_reads_no_number_back(sampling):
    seen = []
    plan = plan_prompt(*load_planner(EMBEDDED, META), PROMPT, 256, 224, batch=2, sampling=sampling, device=META.device, dtype=META.dtype,
                     on_token=lambda i, tokens: seen.append(i))
    assert plan.ids.device == META.device and plan.ids.shape == (2, 7, 8)
    assert len(seen) == plan.ids[0].numel() + plan.preview[0].numel()


def test_a_number_that_is_read_back_is_noticed():
    with pytest.raises((RuntimeError, NotImplementedError)):
        plan_prompt(*load_planner(EMBEDDED, META), PROMPT, 256, 256, device=META.device, dtype=META.dtype,
                  on_token=lambda i, tokens: tokens[0, i].item() == DROPPED)


@torch.inference_mode()
def test_the_decoder_and_its_conditions_stay_on_the_device(parts):
    image = torch.rand(1, 256, 256, 3)
    tokens = tokenize(parts[VISION], image, META.device, META.dtype)
    latents = encode_images(parts[VAE], [image], [tokens], META)
    texts, no_texts = (encode_glyphs(parts[GLYPH], prompt, META) for prompt in (PROMPT, ""))
    for given in (tokens.ids, texts, no_texts, *latents):
        assert given.device == META.device
    steps = []
    latent = render_latent(parts[DIFFUSION], tokens, texts, no_texts, draw_noise(0, 1, 256, 256), META, steps=3, guidance=1.5,
                           references=list(zip(latents, [tokens])), on_step=steps.append)
    assert latent.device == META.device and latent.shape == (1, 16, 32, 32) and len(steps) == 3
    assert parts[VAE].decode(latent.to(META.dtype)).shape == (1, 3, 256, 256)
