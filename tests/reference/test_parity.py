"""Parity in float32 with transformers 5.17.0 and diffusers 0.42.1 on tiny random checkpoints."""

import torch

from glm_core.decoder import network_timestep, resolution_shift, sample_latent
from glm_core.geometry import plan_grids
from glm_core.glyph import DIFFUSERS, NATURAL, quoted_texts
from glm_core.pipeline import decode_pixels, encode_glyphs
from glm_core.planner import Sampling, plan_prompt
from glm_core.planner.model import KVCache, rotary_table
from glm_core.planner.positions import positions
from glm_core.plans import Plan, prior_map
from tests.reference.cases import FLOAT32, GUIDANCE, STEPS

SHIFTED = torch.tensor([0.93])


def largest_difference(a, b) -> float:
    assert a.shape == b.shape
    return (a - b).abs().max().item()


def grids(case):
    """Target and coarse grid."""
    return plan_grids(case.width, case.height)


def upstream_plan(both) -> Plan:
    target, coarse = grids(both.case)
    first, second = both.upstream.tokens[:, :-1].split((coarse[0] * coarse[1], target[0] * target[1]), dim=1)
    return Plan(second.unflatten(1, target), first.unflatten(1, coarse))


def test_prompt_ids_are_upstreams(both):
    ids = both.ours.tokenizer.encode_prompt(both.case.prompt, list(grids(both.case)), 16384)
    assert ids == both.upstream.prompt_ids[0].tolist()


@torch.inference_mode()
def test_logits_over_a_whole_teacher_forced_sequence(both):
    planner, (target, coarse) = both.ours.planner, grids(both.case)
    prompt = both.upstream.prompt_ids
    ids = torch.cat((prompt, both.upstream.tokens[:, :-1]), dim=1)
    rotary = rotary_table(positions([prompt.shape[1], coarse, target]), planner.config, torch.float32)
    cache = KVCache(planner.config, 1, ids.shape[1], "cpu", torch.float32)
    hidden = planner(planner.embed(ids, "cpu", torch.float32), rotary, cache, 0)
    logits = planner.lm_head(hidden)[:, prompt.shape[1] - 1 :]
    assert logits.std() > 0.5
    assert largest_difference(logits, both.upstream.logits) <= 1e-4


def test_greedy_plans_are_identical_in_both_grids(both):
    plan = plan_prompt(both.ours.planner, both.ours.tokenizer, both.case.prompt, both.case.width, both.case.height,
                       sampling=Sampling(top_k=1))
    expected = upstream_plan(both)
    assert torch.equal(plan.coarse, expected.coarse)
    assert torch.equal(plan.ids, expected.ids)
    assert len(plan.coarse.unique()) > 20  # a plan that repeats one token would prove little


@torch.inference_mode()
def test_glyph_embeddings(both):
    expected = both.pipe.encode_prompt(both.case.prompt, device="cpu", dtype=torch.float32)
    for prompt, embeddings in zip((both.case.prompt, ""), expected):
        assert largest_difference(encode_glyphs(both.ours.glyph, prompt, FLOAT32), embeddings) <= 1e-4


def test_quoted_texts_are_upstreams(both):
    expected = both.pipe.get_glyph_texts([both.case.prompt])[0] or [""]
    assert quoted_texts(both.case.prompt, DIFFUSERS) == quoted_texts(both.case.prompt, NATURAL) == expected


@torch.inference_mode()
def test_dit_output_with_and_without_plan(both):
    plan, noise = upstream_plan(both), both.noise
    glyphs = encode_glyphs(both.ours.glyph, both.case.prompt, FLOAT32)
    shift = resolution_shift(both.case.width, both.case.height)
    timestep = network_timestep(SHIFTED, shift)
    prior = prior_map(plan.ids, *noise.shape[-2:])
    size = torch.tensor([[both.case.height, both.case.width]]).float()
    per_patch = prior[:, 0, ::2, ::2].flatten(1)
    for ours, drop in ((prior, False), (None, True)):
        expected = both.pipe.transformer(
            hidden_states=noise, encoder_hidden_states=glyphs, prior_token_id=per_patch,
            prior_token_drop=torch.full_like(per_patch, drop, dtype=torch.bool), timestep=timestep, target_size=size,
            crop_coords=torch.zeros(1, 2)).sample
        assert expected.std() > 0.1
        assert largest_difference(both.ours.dit(noise, timestep, glyphs, ours), expected) <= 1e-4


@torch.inference_mode()
def test_latents_after_eight_guided_steps(both):
    glyphs, no_glyphs = (encode_glyphs(both.ours.glyph, prompt, FLOAT32) for prompt in (both.case.prompt, ""))
    latent = sample_latent(both.ours.dit, upstream_plan(both), glyphs, no_glyphs, both.noise, steps=STEPS,
                           guidance=GUIDANCE)
    assert largest_difference(latent, both.upstream.latent) <= 1e-3
    assert largest_difference(both.noise, both.upstream.latent) > 0.1


@torch.inference_mode()
def test_decoded_image(both):
    image = decode_pixels(both.ours.vae, both.upstream.latent, FLOAT32)
    assert largest_difference(image, torch.from_numpy(both.upstream.image)) <= 1 / 255
    assert image.std() > 0.05


@torch.inference_mode()
def test_encoded_image(both):
    pixels = torch.from_numpy(both.upstream.image).movedim(-1, 1) * 2 - 1
    assert largest_difference(both.ours.vae.encode(pixels), both.pipe.vae.encode(pixels).latent_dist.mode()) <= 1e-4
