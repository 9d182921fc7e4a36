"""Colours of latents for previews: what is fitted, and that it is close for the embedded VAE (see test_embedded)."""

import json

import torch
import torch.nn.functional as F
from torch import Tensor

from glm_core.checkpoint import DIFFUSION, EMBEDDED, VAE, locate, read_part
from glm_core.decoder import VAEConfig, colours_of, fit_colours, latent_statistics
from glm_core.pipeline import load
from tests.support.compute import CPU

CONFIG = VAEConfig(block_out_channels=(8,), layers_per_block=1, norm_num_groups=4)
MIX = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
STILL = 5  # a channel that never varies


def encode(pixels: Tensor) -> Tensor:
    """A linear VAE: latents that are mixtures of the colours, but for one channel."""
    latents = torch.einsum("bchw,kc->bkhw", F.avg_pool2d(pixels, 8), MIX)
    latents[:, STILL] = 0.7
    return latents


def decode(latents: Tensor) -> Tensor:
    colours = torch.einsum("bkhw,kc->bchw", latents - 0.7 * F.one_hot(torch.tensor(STILL), 16)[:, None, None],
                           torch.linalg.pinv(MIX.index_fill(0, torch.tensor(STILL), 0)).T)
    return F.interpolate(colours, scale_factor=8.0, mode="nearest")


def preview(latents_rgb: tuple[float, ...], latents: Tensor) -> Tensor:
    """What ComfyUI's Latent2RGBPreviewer shows of normalised latents [B, 16, h, w]: [B, 3, h, w] in -1...1."""
    rows = torch.tensor(latents_rgb).view(-1, 3)
    return (latents.movedim(1, -1) @ rows[:-1] + rows[-1]).movedim(-1, 1)


def test_colours_of_a_linear_vae_are_found_and_a_still_channel_adds_none():
    rgb = fit_colours(CONFIG, encode, decode)
    pixels = F.interpolate(torch.rand(1, 3, 4, 4) - 0.5, scale_factor=8.0, mode="nearest")
    mean, std = latent_statistics(CONFIG, pixels)
    shown = preview(rgb, (encode(pixels) - mean) / std)
    assert (shown - F.avg_pool2d(pixels, 8)).abs().max() < 0.05
    assert max(map(abs, rgb[3 * STILL : 3 * STILL + 3])) < 0.01


def test_a_broken_vae_gets_numbers_that_a_config_can_hold():
    rgb = fit_colours(CONFIG, lambda pixels: encode(pixels) * float("nan"), lambda latents: decode(latents) * 1e39)
    read = VAEConfig.from_json(json.loads(json.dumps({**vars(CONFIG), "latents_rgb": rgb})), "test")
    assert read.latents_rgb == rgb


def test_the_embedded_config_has_the_colours_of_its_vae_and_the_diffusion_model_gets_them():
    fitted = torch.tensor(colours_of(load(EMBEDDED, VAE, CPU), CPU.device))
    for part in (VAE, DIFFUSION):
        stored = torch.tensor(read_part(locate(EMBEDDED, part), part).config["latents_rgb"])
        assert torch.allclose(stored, fitted, atol=1e-3)
