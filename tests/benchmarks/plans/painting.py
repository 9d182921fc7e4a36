"""Drawing plans, all of a picture or a region of it, and what is seen in the pictures."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glm_core.checkpoint import DIFFUSION, EMBEDDED, GLYPH, VAE
from glm_core.decoder import draw_noise, sample_latent
from glm_core.evaluation.suites.shapes import kind_of, nearest_colours, regions
from glm_core.geometry import TOKEN_LATENTS, TOKEN_PIXELS
from glm_core.glyph import encode_texts, glyph_tokens, quoted_texts_of_all
from glm_core.ocr import make_reader, normalise, pair_words
from glm_core.pipeline import load
from glm_core.pipeline.run import decode_pixels
from glm_core.plans import Plan, common_prompt, pixel_mask
from glm_core.posters import BACKGROUNDS, STEP, Item

from .planner import CPU

STEPS, GUIDANCE = 8, 1.5
EMPTY_SHARE = 0.95  # of a box's pixels must be nearest to the background's colour if nothing is there


@dataclass(frozen=True)
class Drawing:
    """latent: normalised, float32 [1, 16, H/8, W/8]. noise: what it was sampled from. pixels: uint8 [H, W, 3]."""

    latent: Tensor
    noise: Tensor
    pixels: np.ndarray


@dataclass(frozen=True)
class PartialDecoder:
    """A decoder that draws a region of a latent and leads all else back to an earlier drawing.

    As ComfyUI's Set Latent Noise Mask does: outside the region, the sampler sees the old latent with the noise of the
    step. With the same noise, Euler's method stays on that line if the velocity there is noise - latent.
    region: bool [1, 1, H/8, W/8].
    """

    dit: Any
    region: Tensor
    old: Drawing

    @property
    def config(self) -> Any:
        return self.dit.config

    def __call__(self, x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        return torch.where(self.region, self.dit(x, *arguments, **options), self.old.noise - self.old.latent)


def texts_of_plan(plan: Plan) -> list[str]:
    """What GLM-Image Conditioning gives the decoder: the quoted texts of all prompts that the plan is made of."""
    return quoted_texts_of_all(common_prompt(plan.origins))


class Painter:
    """The embedded decoder, on a CPU."""

    def __init__(self):
        self.encoder, self.dit, self.vae = (load(EMBEDDED, part, CPU) for part in (GLYPH, DIFFUSION, VAE))
        self.no_glyphs = self.glyphs([""])

    @torch.inference_mode()
    def glyphs(self, texts: list[str]) -> Tensor:
        return encode_texts(self.encoder, glyph_tokens(texts), CPU.device, CPU.dtype)

    @torch.inference_mode()
    def draw(self, plan: Plan, item: int, texts: list[str], seed: int, steps: int = STEPS) -> Drawing:
        """A picture of an item of the plan, with quoted texts."""
        return self.sample(self.dit, plan, item, texts, draw_noise(seed, 1, plan.width, plan.height), steps)

    @torch.inference_mode()
    def redraw(self, plan: Plan, item: int, texts: list[str], old: Drawing, region: Tensor) -> Drawing:
        """As ``draw`` with the noise of an old drawing, which stays as it is outside the region, bool [h, w]."""
        latents = region.repeat_interleave(TOKEN_LATENTS, 0).repeat_interleave(TOKEN_LATENTS, 1)
        return self.sample(PartialDecoder(self.dit, latents, old), plan, item, texts, old.noise, STEPS)

    def sample(self, dit: Any, plan: Plan, item: int, texts: list[str], noise: Tensor, steps: int) -> Drawing:
        latent = sample_latent(dit, Plan(plan.ids[item : item + 1]), self.glyphs(texts), self.no_glyphs, noise,
                               steps=steps, guidance=GUIDANCE)
        pixels = decode_pixels(self.vae, latent, CPU)[0]
        return Drawing(latent, noise, (pixels * 255).round().byte().numpy())


class WordReader:
    """Which words a picture shows, by OCR."""

    def __init__(self):
        self.reader = make_reader()

    def words(self, pixels: np.ndarray, wanted: list[str]) -> list[bool]:
        """Whether each wanted word is read in a picture, uint8 [H, W, 3]."""
        return [word.right for word in pair_words([normalise(word) for word in wanted], self.reader(pixels))]


def shape_is_drawn(pixels: np.ndarray, shape: Item) -> bool:
    """Whether a picture, uint8 [H, W, 3], shows a shape of this kind and colour in its box, to within half a cell."""
    left, top, pitch = shape.require_box()
    mask = nearest_colours(pixels) == list(BACKGROUNDS).index(shape.colour)
    height, width = mask.shape
    for region in regions(mask):
        y, x = region.centre[0] * height, region.centre[1] * width
        if abs(y - top - pitch) <= STEP and abs(x - left - pitch) <= STEP:
            return kind_of(region) == shape.kind
    return False


def box_is_empty(pixels: np.ndarray, item: Item, background: str) -> bool:
    """Whether a picture, uint8 [H, W, 3], shows the background where the item would be."""
    left, top, pitch = item.require_box()
    width = 2 * pitch if item.kind else len(item.text) * pitch
    height = 2 * pitch if item.kind else pitch
    part = pixels[top : top + height, left : left + width]
    return bool((nearest_colours(part) == list(BACKGROUNDS).index(background)).mean() >= EMPTY_SHARE)


def mean_change(before: np.ndarray, after: np.ndarray, region: Tensor) -> float:
    """Of the pixels' channels outside a region, bool [h, w], in levels of 255; 0 if the region is everything."""
    outside = pixel_mask(region[None])[0].numpy() == 0
    difference = np.abs(after.astype(int) - before.astype(int))[outside]
    return float(difference.mean()) if difference.size else 0.0


def moved(item: Item, rows: int, columns: int) -> Item:
    """The item so many cells further down and to the right."""
    box = item.require_box()
    return replace(item, box=box._replace(left=box.left + columns * TOKEN_PIXELS, top=box.top + rows * TOKEN_PIXELS))
