"""The whole way without a host, part by part: prompt → plan → latent → picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from . import ops
from .checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, VISION, Part, Weights, dequantise, fill, locate, read_config_alone, read_part
from .decoder import AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig, network_timestep, official_sigmas, resolution_shift
from .decoder.vae import latent_statistics
from .glyph import NATURAL, GlyphConfig, GlyphEncoder, encode_texts, glyph_tokens, quoted_texts
from .images import fit_image
from .plan import LATENT_PIXELS, Plan, prior_map
from .planner import PlannerConfig, PlannerModel, PromptTokenizer
from .planner.grids import usual_side
from .planner.model import fuse_qkv
from .vision import SemanticVQ, VisionConfig

OnStep = Callable[[int], None]
MODULES = {
    VISION: (SemanticVQ, VisionConfig),
    GLYPH: (GlyphEncoder, GlyphConfig),
    DIFFUSION: (GLMImageDiT, DiTConfig),
    VAE: (AutoencoderKL, VAEConfig),
}


@dataclass(frozen=True)
class Place:
    """Where the parts are computed, and in which type."""

    device: torch.device
    dtype: torch.dtype


def build(module_class, config, weights: Weights, place: Place):
    """A module of plain torch layers holding the part's weights, moved and cast."""
    with torch.device("meta"):
        module = module_class(config, dtype=place.dtype, operations=ops)
    wanted = weights.tensors.keys() & module.state_dict().keys()
    tensors = {name: dequantise(weights.tensors, name, weights.where).to(place.device, place.dtype) for name in wanted}
    fill(module, tensors, weights.where, assign=True)
    return module.eval()


def load(model: Path, part: Part, place: Place) -> nn.Module:
    """One part of a released or converted folder, ready to compute."""
    weights = read_part(locate(model, part), part)
    module_class, config_class = MODULES[part]
    return build(module_class, config_class.from_json(weights.config, weights.where), weights, place)


def load_planner(model: Path, place: Place) -> tuple[PlannerModel, PromptTokenizer]:
    weights = read_part(locate(model, PLANNER), PLANNER)
    config, tensors = fuse_qkv(PlannerConfig.from_json(weights.config, weights.where), weights.tensors)
    return build(PlannerModel, config, replace(weights, tensors=tensors), place), PromptTokenizer(weights.tokenizer_json)


def default_side(model: Path) -> int:
    """Pixels of a side where none is given: 1024 for the released model."""
    config = read_config_alone(locate(model, PLANNER), PLANNER)
    return usual_side(config.get("trained_sides", PlannerConfig.trained_sides))


def encode_images(vae: AutoencoderKL, images: Sequence[Tensor], tokens: Sequence[Plan], place: Place) -> list[Tensor]:
    """Normalised latents of pictures [b, H, W, channels] at the size of their tokens, [b, 16, H/8, W/8] each."""
    latents = []
    for image, plan in zip(images, tokens, strict=True):
        pixels = fit_image(image, plan.width, plan.height).movedim(-1, 1).to(place.device, place.dtype) * 2 - 1
        latent = vae.encode(pixels)
        mean, std = latent_statistics(vae.config, latent)
        latents.append((latent - mean) / std)
    return latents


def encode_glyphs(encoder: GlyphEncoder, prompt: str, place: Place, quotes: str = NATURAL) -> Tensor:
    """Glyph embeddings [1, n, width] of a prompt's quoted texts."""
    return encode_texts(encoder, glyph_tokens(quoted_texts(prompt, quotes)), place.device, place.dtype)


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


def render_latent(dit: GLMImageDiT, plan: Plan, glyphs: Tensor, no_glyphs: Tensor, noise: Tensor, place: Place, *,
                  steps: int, guidance: float, references: Sequence[tuple[Tensor, Plan]] = (),
                  on_step: OnStep = lambda i: None) -> Tensor:
    """Normalised latent, float32 [B, 16, H/8, W/8]. With guidance 1 or less the unconditional branch is not run.

    ``references``: latent and tokens of each picture to edit; the unconditional branch does not see them.
    """
    plan.check_codes(dit.config.prior_vq_quantizer_codebook_size)
    prior = prior_map(plan.ids, *noise.shape[-2:]).to(place.device)
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


def decode_pixels(vae: AutoencoderKL, latent: Tensor, place: Place) -> Tensor:
    """Normalised latent → float32 [B, H, W, 3] in 0...1."""
    mean, std = latent_statistics(vae.config, latent)
    pixels = torch.cat([vae.decode((item[None] * std + mean).to(place.dtype)) for item in latent])
    return (pixels.float() / 2 + 0.5).clamp(0, 1).movedim(1, -1).cpu()
