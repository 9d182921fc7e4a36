"""Everything of a run is computed on the device that was asked for, and no number is read back on the way.

The parts run on torch's meta device, whose tensors have shapes and no numbers: a tensor that was left on the CPU, or a
number that the program reads, raises an error there. On a GPU the first would raise too, the second would stall it.
"""

from contextlib import contextmanager

import pytest
import torch

from glm_core.checkpoint import DIFFUSION, EMBEDDED, GLYPH, VAE, VISION
from glm_core.decoder import draw_noise, sample_latent
from glm_core.pipeline import (
    Compute,
    PlanRequest,
    ReferenceImage,
    encode_glyphs,
    encode_image,
    load,
    load_planner,
    plan,
)
from glm_core.planner import Sampling, plan_prompt
from glm_core.plans import DROPPED, Plan
from glm_core.vision import tokenize

META = Compute(torch.device("meta"), torch.bfloat16)
PROMPT = 'A red poster. At the top, "HI" in white letters.'


@pytest.fixture(autouse=True)
def unread_codes(monkeypatch):
    monkeypatch.setattr(Plan, "check_codes", lambda plan, *arguments: None)  # reads the ids, once a run


@pytest.fixture(scope="module")
def parts():
    return {part: load(EMBEDDED, part, META) for part in (VISION, GLYPH, DIFFUSION, VAE)}


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=1), Sampling(top_k=50, top_p=1.0)])
def test_the_planner_reads_no_number_back(sampling):
    done = []

    @contextmanager
    def progress(title, total, unit):
        yield lambda: done.append(unit)

    request = PlanRequest(PROMPT, 128, 96, batch=2, sampling=sampling)
    drawn, = plan(EMBEDDED, [request], META, progress)
    assert drawn.ids.device == META.device and drawn.ids.shape == (2, 3, 4)
    assert len(done) == drawn.ids[0].numel() + drawn.coarse[0].numel()


def test_a_number_that_is_read_back_is_noticed():
    planner = load_planner(EMBEDDED, META)
    with pytest.raises((RuntimeError, NotImplementedError)):
        plan_prompt(planner.model, planner.tokenizer, PROMPT, 128, 96, device=META.device, dtype=META.dtype,
                    on_token=lambda i, tokens: tokens[0, i].item() == DROPPED)


@torch.inference_mode()
def test_the_decoder_and_its_conditions_stay_on_the_device(parts):
    image = torch.rand(1, 256, 256, 3)
    tokens = tokenize(parts[VISION], image, META.device, META.dtype)
    reference = encode_image(parts[VAE], ReferenceImage(image, tokens), META)
    texts, no_texts = (encode_glyphs(parts[GLYPH], prompt, META) for prompt in (PROMPT, ""))
    for given in (tokens.ids, texts, no_texts, reference):
        assert given.device == META.device
    steps = []
    latent = sample_latent(parts[DIFFUSION], tokens, texts, no_texts, draw_noise(0, 1, 256, 256), steps=3, guidance=1.5,
                           references=[(reference, tokens)], device=META.device, dtype=META.dtype, on_step=steps.append)
    assert latent.device == META.device and latent.shape == (1, 16, 32, 32) and len(steps) == 3
    assert parts[VAE].decode(latent.to(META.dtype)).shape == (1, 3, 256, 256)
