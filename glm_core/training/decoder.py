"""Stage 4: the diffusion decoder and the glyph encoder learn together to render plans, by flow matching."""

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..decoder import AutoencoderKL, GLMImageDiT, network_timestep, resolution_shift
from ..decoder.vae import latent_statistics
from ..glyph import GlyphEncoder, glyph_tokens, quoted_texts
from ..plans import prior_map
from ..posters.edits import random_edit, random_letters
from ..posters.held_out import WORDS
from ..posters.scene import (
    GRID,
    LARGE_LETTERS,
    SIDE,
    Poster,
    Style,
    caption,
    cell_codes,
    random_dense_page,
    random_poster,
    random_short_text,
    random_style,
    to_pixels,
)

WORDS_A_POSTER = 1, 2, 2, 3  # more than prompts ask for, as letters are what takes long to learn
EDITS = 0.2  # share of edits among posters
DRAWN_FREE = 0.7  # share of free posters among them
SHORT_WORDS = 0.6  # share of posters whose words are all short enough to be large
UNCONDITIONAL = 0.1  # share of batches without plan and glyphs, for guidance


class Renderer(nn.Module):
    """The two networks under one roof, so that one optimizer trains them."""

    def __init__(self, dit: GLMImageDiT, glyph: GlyphEncoder):
        super().__init__()
        self.dit, self.glyph = dit, glyph


@dataclass(frozen=True)
class Group:
    """Posters whose texts have the same lengths: latents [B, 16, h, w], codes [B, rows, columns], glyph ids [B][texts][n].

    ``before``: latents and codes of the posters that were edited.
    """

    latents: Tensor
    codes: Tensor
    glyphs: list[list[list[int]]]
    before: tuple[Tensor, Tensor] | None = None


@torch.inference_mode()
def encode_posters(vae: AutoencoderKL, posters: list[Poster], prompts: list[str], device) -> tuple[Tensor, Tensor]:
    """Normalised latents, and codes for these prompts."""
    latents = vae.encode(to_pixels(posters).to(device)).float()
    mean, std = latent_statistics(vae.config, latents)
    codes = [cell_codes(poster, quoted_texts(prompt)) for poster, prompt in zip(posters, prompts, strict=True)]
    return ((latents - mean) / std).cpu(), torch.tensor(codes)


def prompted(vae: AutoencoderKL, posters: list[Poster], prompts: list[str], device, before: tuple[Tensor, Tensor] | None = None) -> Group:
    return Group(*encode_posters(vae, posters, prompts, device), sorted_texts(prompts), before)


def draw_group(vae: AutoencoderKL, batch: int, style: Style, rng: random.Random, device) -> Group:
    longest = LARGE_LETTERS if rng.random() < SHORT_WORDS else GRID
    lengths = tuple(rng.randint(1, longest) for _ in range(rng.choice(WORDS_A_POSTER)))
    posters = [random_poster(rng, lengths, WORDS, style) for _ in range(batch)]
    return prompted(vae, posters, [caption(poster) for poster in posters], device)


def draw_dense_pages(vae: AutoencoderKL, batch: int, serif: float, rng: random.Random, device) -> Group:
    """Of a quarter of a poster's size, and without glyphs, as they have no caption."""
    walls = [random_dense_page(rng, random_style(rng, serif), WORDS, GRID // 2) for _ in range(batch)]
    return prompted(vae, walls, [""] * batch, device)


def draw_short_texts(vae: AutoencoderKL, batch: int, serif: float, rng: random.Random, device) -> Group:
    """Short texts, from which the glyphs' part is learned soonest."""
    lengths = tuple(rng.randint(1, GRID // 2) for _ in range(rng.choice((1, 2))))
    style = random_style(rng, serif)
    signs = [random_short_text(rng, lengths, WORDS, style) for _ in range(batch)]
    return prompted(vae, signs, [" ".join(f'"{word.text}"' for word in sign.words) for sign in signs], device)


def draw_pages_or_texts(vae: AutoencoderKL, batch: int, serif: float, rng: random.Random, device) -> Group:
    return rng.choice((draw_dense_pages, draw_short_texts))(vae, batch, serif, rng, device)


def draw_posters(vae: AutoencoderKL, batch: int, serif: float, rng: random.Random, device) -> Group:
    """Of prompts or of edits."""
    draw = draw_edits if rng.random() < EDITS else draw_group
    return draw(vae, batch, random_style(rng, serif, DRAWN_FREE), rng, device)


def draw_edits(vae: AutoencoderKL, batch: int, style: Style, rng: random.Random, device) -> Group:
    letters = random_letters(rng)
    edits = [random_edit(rng, letters, WORDS, style) for _ in range(batch)]
    before = encode_posters(vae, [edit.before for edit in edits], [""] * batch, device)
    return prompted(vae, [edit.after for edit in edits], [edit.sentence for edit in edits], device, before)


def sorted_texts(prompts: list[str]) -> list[list[list[int]]]:
    """Glyph ids of the prompts' texts, longer texts first in every item, so that texts of a batch stack."""
    return [sorted(glyph_tokens(quoted_texts(prompt)), key=len, reverse=True) for prompt in prompts]


def embed_glyphs(encoder: GlyphEncoder, glyphs: list[list[list[int]]], device) -> Tensor:
    """[B, sum of lengths, width]: the k-th texts of all items are encoded together."""
    stacked = [torch.tensor([texts[k] for texts in glyphs], device=device) for k in range(len(glyphs[0]))]
    return torch.cat([encoder(ids) for ids in stacked], dim=1)


def decoder_loss(model: Renderer, group: Group, rng: random.Random, device) -> Tensor:
    """Squared error of the velocity from the latent to noise, at noise levels drawn evenly."""
    latents = group.latents.to(device)
    noise, sigma = torch.randn_like(latents), torch.rand(len(latents), device=device).clamp(min=1e-3)
    mixed = torch.lerp(latents, noise, sigma[:, None, None, None])
    timestep = network_timestep(sigma, resolution_shift(SIDE, SIDE))
    if rng.random() < UNCONDITIONAL:
        nothing = embed_glyphs(model.glyph, [glyph_tokens([""])] * len(latents), device)
        velocity = model.dit(mixed, timestep, nothing)
    else:
        texts = embed_glyphs(model.glyph, group.glyphs, device)
        velocity = model.dit(mixed, timestep, texts, on_latents(group.codes, latents), references=reference_keys(model.dit, group, device))
    return F.mse_loss(velocity.float(), noise - latents)


def on_latents(codes: Tensor, latents: Tensor) -> Tensor:
    return prior_map(codes, *latents.shape[-2:]).to(latents.device)


def reference_keys(dit: GLMImageDiT, group: Group, device) -> list:
    if group.before is None:
        return []
    latents, codes = group.before
    latents = latents.to(device)
    return [list(dit.reference_keys_values(latents, on_latents(codes, latents)))]
