"""Stage 2: the autoencoder learns to keep posters in an eighth of their size."""

import random

import torch
import torch.nn.functional as F
from torch import Tensor

from ..decoder import AutoencoderKL
from .posters import SIDE, draw_poster, random_poster, to_tensor

CROP = 64
KL_WEIGHT = 1e-5


def poster_pixels(batch: int, rng: random.Random) -> Tensor:
    """Whole posters, [B, 3, H, W] in -1...1."""
    return to_tensor([draw_poster(random_poster(rng)) for _ in range(batch)]).movedim(-1, 1) * 2 - 1


def crops(batch: int, rng: random.Random) -> Tensor:
    """[B, 3, CROP, CROP], four of each poster: many small ones teach colours faster than few large ones."""
    posters = poster_pixels(-(-batch // 4), rng)
    places = [(rng.randrange(SIDE - CROP + 1), rng.randrange(SIDE - CROP + 1)) for _ in range(batch)]
    return torch.stack([posters[i // 4, :, y : y + CROP, x : x + CROP] for i, (y, x) in enumerate(places)])


def edges(pixels: Tensor) -> Tensor:
    """Differences of neighbouring pixels, down and across, one after the other."""
    return torch.cat((pixels.diff(dim=2).flatten(1), pixels.diff(dim=3).flatten(1)), dim=1)


def autoencoder_loss(model: AutoencoderKL, batch: int, rng: random.Random, device) -> Tensor:
    """Absolute error of pixels and of edges, and a slight pull of the latents towards a normal distribution."""
    pixels = crops(batch, rng).to(device)
    mean, log_variance = model.encoder(pixels).float().chunk(2, dim=1)
    log_variance = log_variance.clamp(-20, 10)
    latents = mean + torch.randn_like(mean) * (log_variance / 2).exp()
    decoded = model.decode(latents).float()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return F.l1_loss(decoded, pixels) + F.l1_loss(edges(decoded), edges(pixels)) + KL_WEIGHT * divergence


@torch.inference_mode()
def latent_moments(model: AutoencoderKL, rng: random.Random, posters: int, device) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over posters: latents_mean and latents_std of the checkpoint."""
    images = poster_pixels(posters, rng)
    latents = torch.cat([model.encode(image[None].to(device)).cpu() for image in images])
    return latents.mean((0, 2, 3)).tolist(), latents.std((0, 2, 3)).tolist()


@torch.inference_mode()
def decoding_error(model: AutoencoderKL, rng: random.Random, posters: int, device) -> float:
    """Mean absolute error of a round trip, in levels of 255."""
    images = poster_pixels(posters, rng)
    decoded = torch.cat([model.decode(model.encode(image[None].to(device))).cpu() for image in images])
    return (decoded.clamp(-1, 1) - images).abs().mean().item() * 127.5
