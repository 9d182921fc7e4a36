"""Stage 4: the diffusion decoder and the glyph encoder learn together to render plans, by flow matching."""

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..decoder import AutoencoderKL, GLMImageDiT, network_timestep, resolution_shift
from ..decoder.vae import latent_statistics
from ..glyph import GlyphEncoder, glyph_tokens, quoted_texts
from ..plan import prior_map
from .held_out import WORDS
from .posters import GRID, SIDE, caption, cell_codes, draw_poster, random_poster, to_tensor

UNCONDITIONAL = 0.1  # share of batches without plan and glyphs, for guidance


class Renderer(nn.Module):
    """The two networks under one roof, so that one optimizer trains them."""

    def __init__(self, dit: GLMImageDiT, glyph: GlyphEncoder):
        super().__init__()
        self.dit, self.glyph = dit, glyph


@dataclass(frozen=True)
class Group:
    """Posters whose texts have the same lengths: latents [B, 16, h, w], codes [B, rows, columns], glyph ids [B][texts][n]."""

    latents: Tensor
    codes: Tensor
    glyphs: list[list[list[int]]]


@torch.inference_mode()
def draw_group(vae: AutoencoderKL, batch: int, rng: random.Random, device) -> Group:
    lengths = tuple(rng.randint(1, GRID) for _ in range(rng.choice((1, 1, 2))))
    posters = [random_poster(rng, lengths, WORDS) for _ in range(batch)]
    pixels = to_tensor([draw_poster(poster) for poster in posters]).movedim(-1, 1) * 2 - 1
    latents = vae.encode(pixels.to(device))
    mean, std = latent_statistics(vae.config, latents)
    codes = torch.tensor([cell_codes(poster) for poster in posters])
    glyphs = [glyph_tokens(quoted_texts(caption(poster))) for poster in posters]
    return Group(((latents - mean) / std).cpu(), codes, sorted_texts(glyphs))


def sorted_texts(glyphs: list[list[list[int]]]) -> list[list[list[int]]]:
    """Longer texts first in every item, so that texts of a batch stack."""
    return [sorted(texts, key=len, reverse=True) for texts in glyphs]


def embed_glyphs(encoder: GlyphEncoder, glyphs: list[list[list[int]]], device) -> Tensor:
    """[B, sum of lengths, width]: the k-th texts of all items are encoded together."""
    stacked = [torch.tensor([texts[k] for texts in glyphs], device=device) for k in range(len(glyphs[0]))]
    return torch.cat([encoder(ids) for ids in stacked], dim=1)


def decoder_loss(model: Renderer, group: Group, rng: random.Random, device) -> Tensor:
    """Squared error of the velocity from the latent to noise, at noise levels drawn evenly."""
    latents = group.latents.to(device)
    noise, sigma = torch.randn_like(latents), torch.rand(len(latents), device=device).clamp(min=1e-3)
    mixed = torch.lerp(latents, noise, sigma[:, None, None, None])
    if rng.random() < UNCONDITIONAL:
        context, prior = embed_glyphs(model.glyph, [glyph_tokens([""])] * len(latents), device), None
    else:
        context, prior = embed_glyphs(model.glyph, group.glyphs, device), prior_map(group.codes, *latents.shape[-2:]).to(device)
    timestep = network_timestep(sigma, resolution_shift(SIDE, SIDE))
    return F.mse_loss(model.dit(mixed, timestep, context, prior).float(), noise - latents)
