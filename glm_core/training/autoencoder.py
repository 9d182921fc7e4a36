"""Stage 2: the autoencoder learns to encode posters at an eighth of their size, and to decode them."""

import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..decoder import AutoencoderKL
from ..geometry import TOKEN_PIXELS
from ..posters import HELD_OUT_WORDS, SIDE, Item, item_cells, mixed_posters
from .pixels import to_pixels

CROP = SIDE // 2  # side of a crop in pixels
KL_WEIGHT = 1e-4
INITIAL_LOG_VARIANCE = -6.0


def initialise_autoencoder(model: AutoencoderKL) -> None:
    """Let residual blocks start as identities, and latents almost without noise; this speeds up early training."""
    for name, parameter in model.named_parameters():
        if name.endswith("conv2.weight"):
            nn.init.zeros_(parameter)
    channels = model.config.latent_channels
    nn.init.zeros_(model.encoder.conv_out.weight[channels:])
    nn.init.constant_(model.encoder.conv_out.bias[channels:], INITIAL_LOG_VARIANCE)


def crop_start(rng: random.Random, cell: int) -> int:
    """Left or top, in pixels, of a crop around this column or row of cells, moved to lie inside the poster."""
    middle = TOKEN_PIXELS * cell + rng.randrange(TOKEN_PIXELS)
    return min(max(middle - CROP // 2, 0), SIDE - CROP)


def crop_around(rng: random.Random, item: Item) -> tuple[int, int]:
    """Left and top, in pixels, of a crop around a random cell of the item, moved to lie inside the poster."""
    row, column = rng.choice(item_cells(item))
    left = crop_start(rng, column)
    return left, crop_start(rng, row)


def crops(batch: int, rng: random.Random) -> Tensor:
    """A crop of each of ``batch`` posters, around one of its items: [B, 3, CROP, CROP] in -1...1.

    None has serif letters. The autoencoder learns to encode them nearly as well as the others.
    """
    posters = mixed_posters(rng, batch, HELD_OUT_WORDS)
    corners = [crop_around(rng, rng.choice(poster.items)) for poster in posters]
    images = to_pixels(posters)
    return torch.stack([image[:, y : y + CROP, x : x + CROP] for image, (x, y) in zip(images, corners)])


def autoencoder_loss(model: AutoencoderKL, batch: int, rng: random.Random, device: torch.device) -> Tensor:
    """Absolute and squared error of the pixels, plus a weighted KL divergence of the latents."""
    pixels = crops(batch, rng).to(device)
    mean, log_variance = model.encoder(pixels).float().chunk(2, dim=1)
    log_variance = log_variance.clamp(-20, 10)
    latents = mean + torch.randn_like(mean) * (log_variance / 2).exp()
    decoded = model.decode(latents).float()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return F.l1_loss(decoded, pixels) + F.mse_loss(decoded, pixels) + KL_WEIGHT * divergence


@torch.inference_mode()
def latent_moments(model: AutoencoderKL, rng: random.Random, count: int,
                   device: torch.device) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over ``count`` posters, for the config of the checkpoint."""
    images = to_pixels(mixed_posters(rng, count))
    latents = torch.cat([model.encode(image[None].to(device)).cpu() for image in images])
    return latents.mean((0, 2, 3)).tolist(), latents.std((0, 2, 3)).tolist()


@torch.inference_mode()
def decoding_error(model: AutoencoderKL, rng: random.Random, count: int, device: torch.device) -> float:
    """Mean absolute error of encoding and decoding ``count`` posters, on the scale 0...255."""
    images = to_pixels(mixed_posters(rng, count))
    decoded = torch.cat([model.decode(model.encode(image[None].to(device))).cpu() for image in images])
    return (decoded.clamp(-1, 1) - images).abs().mean().item() * 127.5
