"""Stage 2: the autoencoder learns to keep posters in an eighth of their size."""

import random

import torch
import torch.nn.functional as F
from torch import Tensor

from ..decoder import AutoencoderKL
from .posters import SIDE, draw_poster, random_poster, to_tensor

CROP = SIDE // 2
KL_WEIGHT = 1e-4


def crops(batch: int, rng: random.Random) -> Tensor:
    """Random quarters of posters, [B, 3, CROP, CROP] in -1...1."""
    images = to_tensor([draw_poster(random_poster(rng)) for _ in range(batch)]).movedim(-1, 1) * 2 - 1
    places = [(rng.randrange(SIDE - CROP + 1), rng.randrange(SIDE - CROP + 1)) for _ in range(batch)]
    return torch.stack([image[:, y : y + CROP, x : x + CROP] for image, (y, x) in zip(images, places)])


def autoencoder_loss(model: AutoencoderKL, batch: int, rng: random.Random, device) -> Tensor:
    """Absolute and squared error of the pixels, and a slight pull of the latents towards a normal distribution."""
    pixels = crops(batch, rng).to(device)
    mean, log_variance = model.encoder(pixels).float().chunk(2, dim=1)
    log_variance = log_variance.clamp(-20, 10)
    latents = mean + torch.randn_like(mean) * (log_variance / 2).exp()
    decoded = model.decode(latents).float()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return F.l1_loss(decoded, pixels) + F.mse_loss(decoded, pixels) + KL_WEIGHT * divergence


@torch.inference_mode()
def latent_moments(model: AutoencoderKL, rng: random.Random, posters: int, device) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over posters: latents_mean and latents_std of the checkpoint."""
    images = to_tensor([draw_poster(random_poster(rng)) for _ in range(posters)]).movedim(-1, 1) * 2 - 1
    latents = torch.cat([model.encode(image[None].to(device)).cpu() for image in images])
    return latents.mean((0, 2, 3)).tolist(), latents.std((0, 2, 3)).tolist()


@torch.inference_mode()
def decoding_error(model: AutoencoderKL, rng: random.Random, posters: int, device) -> float:
    """Mean absolute error of a round trip, in levels of 255."""
    images = to_tensor([draw_poster(random_poster(rng)) for _ in range(posters)]).movedim(-1, 1) * 2 - 1
    decoded = torch.cat([model.decode(model.encode(image[None].to(device))).cpu() for image in images])
    return (decoded.clamp(-1, 1) - images).abs().mean().item() * 127.5
