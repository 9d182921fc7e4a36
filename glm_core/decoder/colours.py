"""Latent → small picture, without the VAE: the colour of a latent pixel as a linear function of its channels."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import LATENT_PIXELS
from .vae import AutoencoderKL, VAEConfig, latent_statistics

PICTURES, SIDE = 4, 64  # pictures that are encoded, and their side in pixels
CELLS = 2, 4, 8, 16, 32  # along a side, of the fields of random colours that make up a picture
CONTRAST = 2.0  # of the sum of the fields, which tanh brings into -1...1
RIDGE = 0.003  # a channel that never varies gets no factor
DECIMALS = 4


def fit_colours(config: VAEConfig, encode: Callable[[Tensor], Tensor],
                decode: Callable[[Tensor], Tensor]) -> tuple[float, ...]:
    """``latents_rgb`` of a VAE: red, green and blue for each channel of a normalised latent, then for all of them.

    A pixel's colour, in -1...1, is the sum of each channel times its three factors, plus the last three numbers.
    Fitted by least squares to what the VAE decodes from its latents of a few pictures.

    encode: pixels [B, 3, H, W] in -1...1 → latents [B, C, H/8, W/8], not normalised. decode: the way back.
    """
    latents = encode(colour_fields())
    mean, std = latent_statistics(config, latents.float())
    channels = by_pixel((latents.float() - mean) / std)
    colours = by_pixel(F.avg_pool2d(decode(latents).float().clamp(-1, 1), LATENT_PIXELS))
    factors = solve(F.pad(channels, (0, 1), value=1.0), colours)
    return tuple(round(number, DECIMALS) for number in factors.flatten().tolist())


@torch.inference_mode()
def colours_of(vae: AutoencoderKL, device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[float, ...]:
    """``fit_colours`` of an autoencoder on this device, computed in this dtype."""
    return fit_colours(vae.config, lambda pixels: vae.encode(pixels.to(device, dtype)), vae.decode)


def colour_fields() -> Tensor:
    """Pictures [B, 3, H, W] in -1...1 of patches of colour, large and small, that run into each other."""
    generator = torch.Generator().manual_seed(0)
    fields = [torch.randn(PICTURES, 3, cells, cells, generator=generator) for cells in CELLS]
    total = sum(F.interpolate(field, size=(SIDE, SIDE), mode="bilinear") for field in fields)
    return torch.tanh(CONTRAST * total / len(fields) ** 0.5)


def by_pixel(pictures: Tensor) -> Tensor:
    """[B, C, h, w] → float64 [B h w, C] on the CPU, with 0 where a broken VAE gives NaN or infinity."""
    return pictures.movedim(1, -1).flatten(0, 2).to("cpu", torch.float64).nan_to_num(0, 0, 0)


def solve(inputs: Tensor, outputs: Tensor) -> Tensor:
    """The matrix for which inputs @ matrix is closest to outputs, with little weight on all rows but the last."""
    ridge = torch.full((inputs.shape[1],), RIDGE * len(inputs), dtype=inputs.dtype)
    ridge[-1] = 0
    return torch.linalg.solve(inputs.T @ inputs + ridge.diag(), inputs.T @ outputs)
