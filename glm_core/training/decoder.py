"""Stage 4: the diffusion decoder and the glyph encoder learn together to render plans, by flow matching."""

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..decoder import AutoencoderKL, GLMImageDiT, network_timestep, resolution_shift
from ..decoder.layers import KeyValue
from ..decoder.vae import latent_statistics
from ..glyph import GlyphEncoder, glyph_tokens, quoted_texts
from ..plans import prior_map
from ..posters import (
    GRID,
    HELD_OUT_WORDS,
    LARGE_LETTERS,
    SIDE,
    Poster,
    Style,
    caption,
    cell_codes,
    random_dense_page,
    random_edit,
    random_letters,
    random_poster,
    random_short_text,
    random_style,
)
from .pixels import to_pixels

WORD_COUNTS = 1, 2, 2, 3  # words per poster; more than in prompts, because letters take longest to learn
EDITS = 0.2  # share of edits among batches of posters
FREE_POSTERS = 0.7  # share of free posters in batches of posters
SHORT_WORDS = 0.6  # share of batches whose words are all short enough to be large
UNCONDITIONAL = 0.1  # share of batches without plan and glyphs, for classifier-free guidance


class Renderer(nn.Module):
    """The two networks as one module, so that one optimizer trains both."""

    def __init__(self, dit: GLMImageDiT, glyph: GlyphEncoder):
        super().__init__()
        self.dit, self.glyph = dit, glyph


@dataclass(frozen=True)
class Group:
    """A training batch of posters whose texts have the same lengths.

    latents: [B, 16, h, w], normalised. codes: int64 [B, rows, columns]. glyphs: glyph ids of each text, [B][texts][n].
    before: latents and codes of the posters before an edit; None if it is no edit.
    """

    latents: Tensor
    codes: Tensor
    glyphs: list[list[list[int]]]
    before: tuple[Tensor, Tensor] | None = None


@torch.inference_mode()
def encode_posters(vae: AutoencoderKL, posters: list[Poster], prompts: list[str],
                   device: torch.device) -> tuple[Tensor, Tensor]:
    """Normalised latents [B, 16, h, w] and, given the prompts, codes int64 [B, rows, columns]; on the CPU."""
    latents = vae.encode(to_pixels(posters).to(device)).float()
    mean, std = latent_statistics(vae.config, latents)
    codes = [cell_codes(poster, quoted_texts(prompt)) for poster, prompt in zip(posters, prompts, strict=True)]
    return ((latents - mean) / std).cpu(), torch.tensor(codes)


def sorted_texts(prompts: list[str]) -> list[list[list[int]]]:
    """Glyph ids of the texts that each prompt quotes, the longest first, so that a batch's texts can be stacked."""
    return [sorted(glyph_tokens(quoted_texts(prompt)), key=len, reverse=True) for prompt in prompts]


def make_group(vae: AutoencoderKL, posters: list[Poster], prompts: list[str], device: torch.device,
               before: tuple[Tensor, Tensor] | None = None) -> Group:
    """A batch of these posters, whose prompts quote texts of the same lengths."""
    latents, codes = encode_posters(vae, posters, prompts, device)
    return Group(latents, codes, sorted_texts(prompts), before)


def draw_captioned(vae: AutoencoderKL, batch: int, style: Style, rng: random.Random, device: torch.device) -> Group:
    """Posters with their captions."""
    longest = LARGE_LETTERS if rng.random() < SHORT_WORDS else GRID
    count = rng.choice(WORD_COUNTS)
    lengths = tuple(rng.randint(1, longest) for _ in range(count))
    posters = [random_poster(rng, lengths, HELD_OUT_WORDS, style) for _ in range(batch)]
    return make_group(vae, posters, [caption(poster) for poster in posters], device)


def draw_edits(vae: AutoencoderKL, batch: int, style: Style, rng: random.Random, device: torch.device) -> Group:
    """Posters after an edit, with the sentences that ask for it and the posters before."""
    letters = random_letters(rng)
    edits = [random_edit(rng, letters, HELD_OUT_WORDS, style) for _ in range(batch)]
    before = encode_posters(vae, [edit.before for edit in edits], [""] * batch, device)
    return make_group(vae, [edit.after for edit in edits], [edit.sentence for edit in edits], device, before)


def draw_posters(vae: AutoencoderKL, batch: int, serif: float, rng: random.Random, device: torch.device) -> Group:
    """Posters with their captions, or edits of posters. serif: share of batches with serif letters."""
    draw = draw_edits if rng.random() < EDITS else draw_captioned
    return draw(vae, batch, random_style(rng, serif, FREE_POSTERS), rng, device)


def draw_dense_pages(vae: AutoencoderKL, batch: int, serif: float, rng: random.Random, device: torch.device) -> Group:
    """Dense pages a quarter of the size of a poster. They have no captions and therefore no glyphs."""
    pages = [random_dense_page(rng, random_style(rng, serif), HELD_OUT_WORDS, GRID // 2) for _ in range(batch)]
    return make_group(vae, pages, [""] * batch, device)


def draw_short_texts(vae: AutoencoderKL, batch: int, serif: float, rng: random.Random, device: torch.device) -> Group:
    """Short texts, from which the decoder learns to use the glyphs fastest."""
    count = rng.choice((1, 2))
    lengths = tuple(rng.randint(1, GRID // 2) for _ in range(count))
    style = random_style(rng, serif)
    pages = [random_short_text(rng, lengths, HELD_OUT_WORDS, style) for _ in range(batch)]
    prompts = [" ".join(f'"{word.text}"' for word in page.words) for page in pages]
    return make_group(vae, pages, prompts, device)


def draw_pages_or_texts(vae: AutoencoderKL, batch: int, serif: float, rng: random.Random,
                        device: torch.device) -> Group:
    """Either dense pages or short texts."""
    draw = rng.choice((draw_dense_pages, draw_short_texts))
    return draw(vae, batch, serif, rng, device)


def embed_glyphs(encoder: GlyphEncoder, glyphs: list[list[list[int]]], device: torch.device) -> Tensor:
    """Glyph ids [B][texts][n] → [B, sum of lengths, width]. The k-th texts of all items are encoded together."""
    encoded = []
    for k in range(len(glyphs[0])):
        ids = torch.tensor([texts[k] for texts in glyphs], device=device)
        encoded.append(encoder(ids))
    return torch.cat(encoded, dim=1)


def codes_on_latent(codes: Tensor, latents: Tensor) -> Tensor:
    """Codes [B, rows, columns] → one per latent pixel, [B, 1, h, w], on the device of the latents [B, 16, h, w]."""
    return prior_map(codes, *latents.shape[-2:]).to(latents.device)


def reference_keys_values(dit: GLMImageDiT, group: Group, device: torch.device) -> list[list[KeyValue]]:
    """Keys and values of each reference image, by block. An edit has one, the poster before it; others have none."""
    if group.before is None:
        return []
    latents, codes = group.before
    latents = latents.to(device)
    return [list(dit.reference_keys_values(latents, codes_on_latent(codes, latents)))]


def decoder_loss(model: Renderer, group: Group, rng: random.Random, device: torch.device) -> Tensor:
    """Mean squared error of the predicted velocity, which is noise - latent, at uniformly drawn noise levels."""
    latents = group.latents.to(device)
    noise, sigma = torch.randn_like(latents), torch.rand(len(latents), device=device).clamp(min=1e-3)
    mixed = torch.lerp(latents, noise, sigma[:, None, None, None])
    timestep = network_timestep(sigma, resolution_shift(SIDE, SIDE))
    if rng.random() < UNCONDITIONAL:
        no_text = embed_glyphs(model.glyph, [glyph_tokens([""])] * len(latents), device)
        velocity = model.dit(mixed, timestep, no_text)
    else:
        texts = embed_glyphs(model.glyph, group.glyphs, device)
        plan = codes_on_latent(group.codes, latents)
        references = reference_keys_values(model.dit, group, device)
        velocity = model.dit(mixed, timestep, texts, plan, references=references)
    return F.mse_loss(velocity.float(), noise - latents)
