"""Pictures of plans, for rewards that look at them; all parts stay in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..checkpoint import DIFFUSION, GLYPH, VAE
from ..decoder import AutoencoderKL, GLMImageDiT, draw_noise, sample_latent
from ..errors import GLMImageError
from ..glyph import GlyphEncoder
from ..images import to_image
from ..pipeline import Compute, decode_pixels, encode_glyphs, load
from ..plans import Plan


@dataclass(frozen=True)
class Painter:
    """The decoder with its settings. steps, guidance: see RenderSettings."""

    dit: GLMImageDiT
    glyph: GlyphEncoder
    vae: AutoencoderKL
    compute: Compute
    steps: int
    guidance: float

    @classmethod
    def load(cls, model: Path, compute: Compute, steps: int, guidance: float) -> Painter:
        """From a released or converted folder. Raises GLMImageError if it cannot be read."""
        dit, glyph, vae = (load(model, part, compute) for part in (DIFFUSION, GLYPH, VAE))
        return cls(dit, glyph, vae, compute, steps, guidance)

    def draw(self, plan: Plan, prompt: str, seed: int) -> Image.Image:
        """An RGB picture of a plan of one item, with the noise of ``seed``."""
        return self.show(self.latent(plan, prompt, draw_noise(seed, 1, plan.width, plan.height)))[0]

    @torch.inference_mode()
    def latent(self, plan: Plan, prompt: str, noise: Tensor) -> Tensor:
        """Normalised latent, float32 [B, 16, H/8, W/8], from noise of this shape."""
        texts, no_texts = (encode_glyphs(self.glyph, text, self.compute) for text in (prompt, ""))
        return sample_latent(self.dit, plan, texts, no_texts, noise, steps=self.steps, guidance=self.guidance,
                             device=self.compute.device, dtype=self.compute.dtype)

    def show(self, latent: Tensor) -> list[Image.Image]:
        """RGB pictures of latents [B, 16, H/8, W/8]. Raises GLMImageError if their numbers are not finite."""
        pictures = decode_pixels(self.vae, latent, self.compute)
        if not pictures.isfinite().all():
            raise GLMImageError("pictures must have finite numbers (got NaN or infinity); "
                                "'python -m glm_core check DIR' examines the model")
        return [to_image(pixels) for pixels in pictures]
