"""The whole way without a host: prompt → plan → latent → picture, one part in memory at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import ops
from .checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, Weights, fill, locate, read_part
from .decoder import AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig, network_timestep, official_sigmas, resolution_shift
from .decoder.vae import latent_statistics
from .glyph import NATURAL, GlyphConfig, GlyphEncoder, encode_texts, glyph_tokens, quoted_texts
from .images import fit_reference
from .plan import LATENT_PIXELS, Plan, prior_map
from .planner import PlannerConfig, PlannerModel, PromptTokenizer, Sampling, make_plan
from .vision import SemanticVQ, VisionConfig, tokenize

OnStep = Callable[[int], None]


@dataclass(frozen=True)
class Place:
    """Where the parts are computed, and in which type."""

    device: torch.device
    dtype: torch.dtype


def build(module_class, config, weights: Weights, place: Place):
    """A module of plain torch layers holding the part's weights, moved and cast."""
    with torch.device("meta"):
        module = module_class(config, dtype=place.dtype, operations=ops)
    wanted = module.state_dict()
    tensors = {name: tensor.to(place.device, place.dtype) for name, tensor in weights.tensors.items() if name in wanted}
    fill(module, tensors, weights.where, assign=True)
    return module.eval()


def tokenize_images(model: Path, images: Sequence[Tensor], place: Place) -> list[Plan]:
    """The token grids of pictures [1, H, W, channels] in 0...1."""
    weights = read_part(locate(model, PLANNER), PLANNER)
    vision = build(SemanticVQ, VisionConfig.from_json(weights.config, weights.where), weights, place)
    return [tokenize(vision, image, place.device, place.dtype) for image in images]


def encode_images(model: Path, images: Sequence[Tensor], tokens: Sequence[Plan], place: Place) -> list[Tensor]:
    """Normalised latents of the pictures at the size of their tokens, [1, 16, H/8, W/8] each."""
    config, vae = load_vae(model, place)
    latents = []
    for image, plan in zip(images, tokens, strict=True):
        pixels = fit_reference(image, plan.width, plan.height).movedim(-1, 1).to(place.device, place.dtype) * 2 - 1
        latent = vae.encode(pixels)
        mean, std = latent_statistics(config, latent)
        latents.append((latent - mean) / std)
    return latents


def plan_picture(model: Path, prompt: str, width: int, height: int, place: Place, *, batch: int, seed: int,
                 sampling: Sampling, references: Sequence[Plan] = (), on_token=lambda i, tokens: None) -> Plan:
    weights = read_part(locate(model, PLANNER), PLANNER)
    planner = build(PlannerModel, PlannerConfig.from_json(weights.config, weights.where), weights, place)
    return make_plan(planner, PromptTokenizer(weights.tokenizer_json), prompt, width, height, batch=batch, seed=seed,
                     sampling=sampling, references=references, device=place.device, dtype=place.dtype, on_token=on_token)


def encode_glyphs(model: Path, prompts: list[str], place: Place, quotes: str = NATURAL) -> list[Tensor]:
    """Glyph embeddings [1, n, 1472] of every prompt's quoted texts."""
    weights = read_part(locate(model, GLYPH), GLYPH)
    encoder = build(GlyphEncoder, GlyphConfig.from_json(weights.config, weights.where), weights, place)
    tokens = [glyph_tokens(quoted_texts(prompt, quotes)) for prompt in prompts]
    return [encode_texts(encoder, ids, place.device, place.dtype) for ids in tokens]


def draw_noise(seed: int, batch: int, width: int, height: int, channels: int = 16) -> Tensor:
    """float32 [B, 16, H/8, W/8], drawn on the CPU: the same numbers as ComfyUI's samplers draw for this seed."""
    shape = batch, channels, height // LATENT_PIXELS, width // LATENT_PIXELS
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def euler(velocity: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigmas: Tensor, on_step: OnStep) -> Tensor:
    """Integrate from noise x to the latent."""
    for i, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        x = x + (following - sigma) * velocity(x, sigma)
        on_step(i)
    return x


def render_latent(model: Path, plan: Plan, glyphs: Tensor, no_glyphs: Tensor, noise: Tensor, place: Place, *,
                  steps: int, guidance: float, references: Sequence[tuple[Tensor, Plan]] = (),
                  on_step: OnStep = lambda i: None) -> Tensor:
    """Normalised latent, float32 [B, 16, H/8, W/8]. With guidance 1 or less the unconditional branch is not run.

    ``references``: latent and tokens of each picture to edit; the unconditional branch does not see them.
    """
    weights = read_part(locate(model, DIFFUSION), DIFFUSION)
    config = DiTConfig.from_json(weights.config, weights.where)
    plan.check_codes(config.prior_vq_quantizer_codebook_size)
    prior = prior_map(plan.ids, *noise.shape[-2:]).to(place.device)
    dit = build(GLMImageDiT, config, weights, place)
    shift = resolution_shift(plan.width, plan.height)
    keys_values = [list(dit.reference_keys_values(latent, prior_map(tokens.ids, *latent.shape[-2:]).to(place.device)))
                   for latent, tokens in references]

    def velocity(x: Tensor, sigma: Tensor) -> Tensor:
        timestep = network_timestep(sigma, shift).to(place.device).expand(len(x))
        x = x.to(place.dtype)
        conditional = dit(x, timestep, glyphs.expand(len(x), -1, -1), prior, references=keys_values).float()
        if guidance <= 1:
            return conditional
        unconditional = dit(x, timestep, no_glyphs.expand(len(x), -1, -1)).float()
        return unconditional + guidance * (conditional - unconditional)

    return euler(velocity, noise.to(place.device), official_sigmas(steps, shift), on_step)


def load_vae(model: Path, place: Place) -> tuple[VAEConfig, AutoencoderKL]:
    weights = read_part(locate(model, VAE), VAE)
    config = VAEConfig.from_json(weights.config, weights.where)
    return config, build(AutoencoderKL, config, weights, place)


def decode_pixels(model: Path, latent: Tensor, place: Place) -> Tensor:
    """Normalised latent → float32 [B, H, W, 3] in 0...1."""
    config, vae = load_vae(model, place)
    mean, std = latent_statistics(config, latent)
    pixels = torch.cat([vae.decode((item[None] * std + mean).to(place.dtype)) for item in latent])
    return (pixels.float() / 2 + 0.5).clamp(0, 1).movedim(1, -1).cpu()
