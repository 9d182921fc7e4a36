"""The one way from requests to pictures without a host, part by part, so that one part is in memory at a time.

requests → ``plan`` → plans → ``render`` → latents and pictures. Experiments step in between the two, for instance with
the plan of another prompt or without quoted texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import DIFFUSION, GLYPH, VAE, VISION
from ..decoder import AutoencoderKL, draw_noise, latent_statistics, sample_latent
from ..glyph import NATURAL, GlyphEncoder, encode_texts, glyph_tokens, quoted_texts_of_all
from ..images import fit_image
from ..planner import cuda_graphs, generate_plan, lay_out_prompt, warn_of_untrained_size
from ..plans import Plan, best_of_each, take
from ..vision import tokenize
from .parts import Compute, Loaders
from .requests import PlanRequest, ReferenceImage, RenderRequest

Advance = Callable[[], object]  # called once after each unit of work
Progress = Callable[[str, int, str], AbstractContextManager[Advance]]  # title of a stage, number and name of its units
OnLatent = Callable[[Tensor], object]  # called with each request's latent once it is sampled


@contextmanager
def no_progress(title: str, total: int, unit: str) -> Iterator[Advance]:
    """The Progress that shows nothing."""
    yield lambda: None


@dataclass(frozen=True)
class Rendered:
    """The result of a request.

    latent: normalised, float32 [B, 16, H/8, W/8]. pictures: float32 [B, H, W, 3] in 0...1.
    """

    latent: Tensor
    pictures: Tensor


def read_references(model: Path, images: Sequence[Sequence[Tensor]], compute: Compute,
                    progress: Progress = no_progress,
                    loaders: Loaders = Loaders()) -> list[tuple[ReferenceImage, ...]]:
    """The images [b, H, W, channels] of each request, in 0...1, with their tokens.

    Loads the vision tower only if there are images. Raises GLMImageError on a size or shape that is not accepted.
    """
    if not any(images):
        return [() for _ in images]
    vision = loaders.part(model, VISION, compute)
    with progress("tokenize", sum(map(len, images)), "image") as advance:

        def read(image: Tensor) -> ReferenceImage:
            reference = ReferenceImage(image, tokenize(vision, image, compute.device, compute.dtype))
            advance()
            return reference

        return [tuple(map(read, request_images)) for request_images in images]


def plan(model: Path, requests: Sequence[PlanRequest], compute: Compute, progress: Progress = no_progress,
         loaders: Loaders = Loaders()) -> list[Plan]:
    """A plan for each request. Raises GLMImageError if the batch of references is neither 1 nor the request's."""
    planner = loaders.planner(model, compute)
    layouts = [lay_out_prompt(planner.tokenizer, planner.model.config, request.prompt, request.width, request.height,
                              reference_tokens(request), request.coarse) for request in requests]
    for width, height in dict.fromkeys((request.width, request.height) for request in requests):
        warn_of_untrained_size(planner.model.config, width, height)
    with progress("plan", sum(layout.new_tokens for layout in layouts), "token") as advance:
        candidates = [generate_plan(planner.model, layout, batch=request.seeds, seed=request.seed,
                                    sampling=request.sampling, lookahead=request.look_ahead, device=compute.device,
                                    dtype=compute.dtype, on_token=lambda i, tokens: advance(),
                                    recorder=cuda_graphs(compute.device), fingerprint=planner.fingerprint)
                      for request, layout in zip(requests, layouts)]
    return [best_of_each(plans, request.best_of) for plans, request in zip(candidates, requests)]


def reference_tokens(request: PlanRequest) -> list[Plan]:
    """The tokens of a request's references; those of a batch once for every plan that is made for their item."""
    tokens = [reference.tokens for reference in request.references]
    items = [item for item in range(request.batch) for _ in range(request.best_of)]
    return [take(plan, items) if plan.batch == request.batch > 1 else plan for plan in tokens]


def render(model: Path, requests: Sequence[RenderRequest], compute: Compute, progress: Progress = no_progress,
           on_latent: OnLatent = lambda latent: None, loaders: Loaders = Loaders()) -> Iterator[Rendered]:
    """Latent and pictures of each request: all latents first, then picture by picture as they are decoded.

    on_latent: called with each normalised latent, float32 [B, 16, H/8, W/8], as soon as it is there.
    """
    glyphs, no_glyphs = encode_prompts(model, requests, compute, progress, loaders)
    latents = sample_latents(model, requests, glyphs, no_glyphs, compute, progress, on_latent, loaders)
    vae = loaders.part(model, VAE, compute)
    with progress("decode", len(latents), "image") as advance:
        for latent in latents:
            yield Rendered(latent, decode_pixels(vae, latent, compute))
            advance()


@torch.inference_mode()
def encode_prompts(model: Path, requests: Sequence[RenderRequest], compute: Compute,
                   progress: Progress, loaders: Loaders) -> tuple[list[Tensor], Tensor]:
    """Glyph embeddings of every request's quoted texts, and those of no text, [1, n, width] each."""
    encoder = loaders.part(model, GLYPH, compute)
    glyphs = []
    with progress("encode", len(requests), "prompt") as advance:
        for request in requests:
            glyphs.append(encode_glyphs(encoder, request.prompt, compute, request.settings.quotes))
            advance()
    return glyphs, encode_glyphs(encoder, "", compute)


@torch.inference_mode()
def sample_latents(model: Path, requests: Sequence[RenderRequest], glyphs: Sequence[Tensor], no_glyphs: Tensor,
                   compute: Compute, progress: Progress, on_latent: OnLatent, loaders: Loaders) -> list[Tensor]:
    """Normalised latents of each request, float32 [B, 16, H/8, W/8]. glyphs, no_glyphs: see ``encode_prompts``."""
    references = encode_references(model, requests, compute, loaders)
    dit = loaders.part(model, DIFFUSION, compute)
    latents = []
    with progress("draw", sum(request.settings.steps for request in requests), "step") as advance:
        for request, texts, images in zip(requests, glyphs, references, strict=True):
            latents.append(sample_latent(dit, request.plan, texts, no_glyphs, initial_noise(request),
                                         steps=request.settings.steps, guidance=request.settings.guidance,
                                         references=images, device=compute.device, dtype=compute.dtype,
                                         on_step=lambda i: advance()))
            on_latent(latents[-1])
    return latents


def initial_noise(request: RenderRequest) -> Tensor:
    """float32 [B, 16, H/8, W/8]: what the request brings along, or drawn from its seed."""
    if request.noise is not None:
        return request.noise
    return draw_noise(request.settings.seed, request.plan.batch, request.plan.width, request.plan.height)


def encode_references(model: Path, requests: Sequence[RenderRequest], compute: Compute,
                      loaders: Loaders) -> list[list[tuple[Tensor, Plan]]]:
    """Normalised latent and tokens of each request's reference images. Loads the VAE only if there are any.

    An image that several requests share is encoded once.
    """
    images = {id(reference): reference for request in requests for reference in request.references}
    if not images:
        return [[] for _ in requests]
    vae = loaders.part(model, VAE, compute)
    encoded = {key: (encode_image(vae, reference, compute), reference.tokens) for key, reference in images.items()}
    return [[encoded[id(reference)] for reference in request.references] for request in requests]


@torch.inference_mode()
def encode_image(vae: AutoencoderKL, reference: ReferenceImage, compute: Compute) -> Tensor:
    """Normalised latent [b, 16, H/8, W/8] of a reference image at the size of its tokens."""
    fitted = fit_image(reference.image, reference.tokens.width, reference.tokens.height)
    latent = vae.encode(fitted.movedim(-1, 1).to(compute.device, compute.dtype) * 2 - 1)
    mean, std = latent_statistics(vae.config, latent)
    return (latent - mean) / std


def encode_glyphs(encoder: GlyphEncoder, prompt: str, compute: Compute, quotes: str = NATURAL) -> Tensor:
    """Glyph embeddings [1, n, width] of the quoted texts of a prompt, or of several; see ``quoted_texts_of_all``."""
    return encode_texts(encoder, glyph_tokens(quoted_texts_of_all(prompt, quotes)), compute.device, compute.dtype)


@torch.inference_mode()
def decode_pixels(vae: AutoencoderKL, latent: Tensor, compute: Compute) -> Tensor:
    """Normalised latent [B, 16, H/8, W/8] → pictures, float32 [B, H, W, 3] in 0...1, on the CPU."""
    mean, std = latent_statistics(vae.config, latent)
    pixels = torch.cat([vae.decode((item[None] * std + mean).to(compute.dtype)) for item in latent])
    return (pixels.float() / 2 + 0.5).clamp(0, 1).movedim(1, -1).cpu()
