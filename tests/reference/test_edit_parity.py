"""Edits: parity with GlmImagePipeline(image=[…]) in float32, on sizes that upstream accepts."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch

from glm_core.decoder import draw_noise, sample_latent
from glm_core.pipeline import ReferenceImage, encode_glyphs, encode_image
from glm_core.planner import Sampling, plan_prompt
from glm_core.vision import tokenize
from tests.reference.cases import FLOAT32, GUIDANCE, NOT_CODES, STEPS, load_ours, load_upstream
from tests.support.tiny import Tiny, write_checkpoint

FEW_STEPS = 2  # enough to tell two latents apart


@dataclass(frozen=True)
class Edit:
    name: str
    tiny: Tiny
    width: int
    height: int
    sizes: tuple[tuple[int, int], ...]  # width and height of each reference image
    prompt: str
    batch: int = 1


EDITS = [
    Edit("one, smaller than the target", Tiny(seed=11), 576, 544, ((512, 512),), "make the sign say 'SHUT'"),
    Edit("two, larger than the target", Tiny(seed=12, planner_layers=3, dit_layers=3), 96, 64,
         ((512, 768), (1024, 512)),
         "the cat of the first picture in the second"),
    Edit("three of all shapes", Tiny(seed=13, dit_heads=3, dit_head_dim=32), 64, 128,
         ((512, 512), (640, 544), (512, 1152)), "把三张图合成一张“海报”"),
    Edit("a batch of two", Tiny(seed=14), 64, 64, ((512, 544),), "as a \"print\"", batch=2),
]


def random_image(width: int, height: int, seed: int) -> PIL.Image.Image:
    """Blobs of colour: neither flat nor noise, so that neighbouring patches differ."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 32, width // 32, 3), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC)


def as_tensor(image: PIL.Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).float()[None] / 255


def run_upstream(pipe, edit: Edit, images, noise) -> SimpleNamespace:
    """Upstream's own call, but greedy and with no other ids than codes: its latent, and the tokens of all images."""
    model = pipe.vision_language_encoder
    generate, plan_tokens, found = model.generate, pipe.generate_prior_tokens, {}
    model.generate = lambda **kwargs: generate(**{**kwargs, "do_sample": False}, suppress_tokens=NOT_CODES)

    def record_tokens(*args, **kwargs):
        found["prior"], found["images"], found["grids"] = plan_tokens(*args, **kwargs)
        return found["prior"], found["images"], found["grids"]

    pipe.generate_prior_tokens = record_tokens
    prompt = edit.prompt if edit.batch == 1 else [edit.prompt] * edit.batch
    found["latent"] = pipe(prompt=prompt, image=images if edit.batch > 1 else images[0], width=edit.width,
                           height=edit.height, latents=noise, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
                           generator=torch.Generator().manual_seed(0), output_type="latent").images
    return SimpleNamespace(**found)


@pytest.fixture(scope="module", params=EDITS, ids=lambda edit: edit.name)
def both(request, tmp_path_factory):
    edit = request.param
    folder = write_checkpoint(tmp_path_factory.mktemp("edit"), edit.tiny)
    images = [[random_image(*size, seed=10 * item + i) for i, size in enumerate(edit.sizes)]
              for item in range(edit.batch)]
    noise = draw_noise(3, edit.batch, edit.width, edit.height)
    # each reference is a batch of images, as ComfyUI passes them on
    batches = [torch.cat([as_tensor(item[i]) for item in images]) for i in range(len(edit.sizes))]
    ours = load_ours(folder)
    references = [ReferenceImage(batch, tokenize(ours.vision, batch)) for batch in batches]
    return SimpleNamespace(edit=edit, references=references, tokens=[reference.tokens for reference in references],
                           noise=noise, ours=ours, upstream=run_upstream(load_upstream(folder), edit, images, noise))


def doubled(ids: torch.Tensor) -> torch.Tensor:
    """Upstream has ids per 16 pixels, in raster order."""
    return ids.repeat_interleave(2, -2).repeat_interleave(2, -1).flatten(-2)


def test_tokens_of_the_reference_images_are_identical(both):
    for item in range(both.edit.batch):
        ours = torch.cat([doubled(plan.ids[item]) for plan in both.tokens])
        assert torch.equal(ours, both.upstream.images[item].flatten())
    assert all(len(plan.ids.unique()) > 20 for plan in both.tokens)


def greedy_plan(both):
    edit, ours = both.edit, both.ours
    return plan_prompt(ours.planner, ours.tokenizer, edit.prompt, edit.width, edit.height, batch=edit.batch,
                       sampling=Sampling(top_k=1), references=both.tokens)


def test_greedy_target_plan_is_identical(both):
    plan = greedy_plan(both)
    assert plan.coarse is None
    assert torch.equal(doubled(plan.ids), both.upstream.prior)
    assert plan.batch == 1 or not torch.equal(plan.ids[0], plan.ids[1])


@torch.inference_mode()
def test_latents_after_eight_guided_steps(both):
    plan = greedy_plan(both)
    glyphs, no_glyphs = (encode_glyphs(both.ours.glyph, prompt, FLOAT32) for prompt in (both.edit.prompt, ""))

    def render(references, steps=FEW_STEPS):
        return sample_latent(both.ours.dit, plan, glyphs, no_glyphs, both.noise, steps=steps, guidance=GUIDANCE,
                             references=references)

    references = [(encode_image(both.ours.vae, reference, FLOAT32), reference.tokens) for reference in both.references]
    assert (render(references, STEPS) - both.upstream.latent).abs().max() <= 1e-3
    latent = render(references)
    assert (render([]) - latent).abs().max() > 1e-2
    other = [(references[0][0], replace(both.tokens[0], ids=both.tokens[0].ids.flip(1))), *references[1:]]
    assert (render(other) - latent).abs().max() > 1e-3
