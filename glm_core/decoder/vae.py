"""The autoencoder: 8 x 8 pixels to 16 channels and back, in diffusers' AutoencoderKL layout.

The released one has no attention in the middle block, no quant convolutions, and block widths of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import check_latent_statistics, read_config
from ..errors import GLMImageError
from .latents import LATENTS_MEAN, LATENTS_STD

EPS = 1e-6


@dataclass(frozen=True)
class VAEConfig:
    """Values of vae/config.json, without scaling_factor and shift_factor, which upstream ignores too.

    latents_rgb: our own, see ``fit_colours``; None if nobody has fitted it.
    """

    block_out_channels: tuple[int, ...]
    layers_per_block: int
    latent_channels: int = 16
    norm_num_groups: int = 32
    latents_mean: tuple[float, ...] = LATENTS_MEAN
    latents_std: tuple[float, ...] = LATENTS_STD
    latents_rgb: tuple[float, ...] | None = None

    @classmethod
    def from_json(cls, config: dict, source: str) -> VAEConfig:
        result = read_config(cls, config, source)
        uneven = [width for width in result.block_out_channels if not width or width % result.norm_num_groups]
        if uneven:
            raise GLMImageError(f"{source}: block_out_channels must be multiples of norm_num_groups "
                                f"{result.norm_num_groups} (got {uneven[0]})")
        check_latent_statistics(result, result.latent_channels, source)
        return result


class ResNet(nn.Module):
    def __init__(self, in_dim: int, out_dim: int, groups: int, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        self.norm1 = operations.GroupNorm(groups, in_dim, eps=EPS, **kw)
        self.conv1 = operations.Conv2d(in_dim, out_dim, 3, padding=1, **kw)
        self.norm2 = operations.GroupNorm(groups, out_dim, eps=EPS, **kw)
        self.conv2 = operations.Conv2d(out_dim, out_dim, 3, padding=1, **kw)
        self.conv_shortcut = operations.Conv2d(in_dim, out_dim, 1, **kw) if in_dim != out_dim else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_dim, h, w] → [B, out_dim, h, w]."""
        h = self.conv1(F.silu(self.norm1(x)))
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


def resnets(in_dim: int, out_dim: int, layers: int, groups: int, **kw) -> nn.ModuleList:
    """``layers`` residual blocks; the first changes the number of channels."""
    in_dims = [in_dim] + [out_dim] * (layers - 1)
    return nn.ModuleList(ResNet(dim, out_dim, groups, **kw) for dim in in_dims)


class Downsample(nn.Module):
    """A stride-2 3x3 convolution, padded right and bottom."""

    def __init__(self, dim: int, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.conv = operations.Conv2d(dim, dim, 3, stride=2, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, h, w] → [B, dim, h/2, w/2]."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution."""

    def __init__(self, dim: int, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.conv = operations.Conv2d(dim, dim, 3, padding=1, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, h, w] → [B, dim, 2h, 2w]."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class DownBlock(nn.Module):
    """Residual blocks and, except in the last DownBlock, downsampling by 2."""

    def __init__(self, in_dim: int, out_dim: int, layers: int, is_last: bool, groups: int, **kw):
        super().__init__()
        self.resnets = resnets(in_dim, out_dim, layers, groups, **kw)
        self.downsamplers = nn.ModuleList([] if is_last else [Downsample(out_dim, **kw)])

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_dim, h, w] → [B, out_dim, h/2, w/2], or [B, out_dim, h, w] in the last one."""
        for layer in (*self.resnets, *self.downsamplers):
            x = layer(x)
        return x


class UpBlock(nn.Module):
    """Residual blocks and, except in the last UpBlock, upsampling by 2."""

    def __init__(self, in_dim: int, out_dim: int, layers: int, is_last: bool, groups: int, **kw):
        super().__init__()
        self.resnets = resnets(in_dim, out_dim, layers, groups, **kw)
        self.upsamplers = nn.ModuleList([] if is_last else [Upsample(out_dim, **kw)])

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_dim, h, w] → [B, out_dim, 2h, 2w], or [B, out_dim, h, w] in the last one."""
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x)
        return x


class MidBlock(nn.Module):
    def __init__(self, dim: int, groups: int, **kw):
        super().__init__()
        self.resnets = resnets(dim, dim, 2, groups, **kw)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, h, w] → the same shape."""
        for layer in self.resnets:
            x = layer(x)
        return x


class Coder(nn.Module):
    """What encoder and decoder share: a convolution at each end, and the middle block."""

    def __init__(self, in_dim: int, first_dim: int, middle_dim: int, last_dim: int, out_dim: int, groups: int,
                 device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        self.conv_in = operations.Conv2d(in_dim, first_dim, 3, padding=1, **kw)
        self.mid_block = MidBlock(middle_dim, groups, operations=operations, **kw)
        self.conv_norm_out = operations.GroupNorm(groups, last_dim, eps=EPS, **kw)
        self.conv_out = operations.Conv2d(last_dim, out_dim, 3, padding=1, **kw)

    def finish(self, x: Tensor) -> Tensor:
        """[B, last_dim, h, w] → [B, out_dim, h, w]."""
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Encoder(Coder):
    def __init__(self, config: VAEConfig, **kw):
        dims, groups, layers = config.block_out_channels, config.norm_num_groups, config.layers_per_block
        super().__init__(3, dims[0], dims[-1], dims[-1], 2 * config.latent_channels, groups, **kw)
        in_dims, last = (dims[0], *dims), len(dims) - 1
        self.down_blocks = nn.ModuleList(DownBlock(in_dims[i], dim, layers, i == last, groups, **kw)
                                         for i, dim in enumerate(dims))

    def forward(self, x: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] → mean and log-variance of the latent distribution, [B, 32, H/8, W/8]."""
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.finish(self.mid_block(x))


class Decoder(Coder):
    def __init__(self, config: VAEConfig, **kw):
        dims, groups, layers = config.block_out_channels[::-1], config.norm_num_groups, config.layers_per_block + 1
        super().__init__(config.latent_channels, dims[0], dims[0], dims[-1], 3, groups, **kw)
        in_dims, last = (dims[0], *dims), len(dims) - 1
        self.up_blocks = nn.ModuleList(UpBlock(in_dims[i], dim, layers, i == last, groups, **kw)
                                       for i, dim in enumerate(dims))

    def forward(self, z: Tensor) -> Tensor:
        """Latents [B, 16, H/8, W/8] → pixels [B, 3, H, W]."""
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.finish(x)


class AutoencoderKL(nn.Module):
    def __init__(self, config: VAEConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.config = config
        self.encoder = Encoder(config, **kw)
        self.decoder = Decoder(config, **kw)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in -1...1 → mean of the latent distribution [B, 16, H/8, W/8], not normalised."""
        return self.encoder(pixels).chunk(2, dim=1)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, 16, H/8, W/8], not normalised → pixels [B, 3, H, W] in about -1...1."""
        return self.decoder(latents)


def latent_statistics(config: VAEConfig, latents: Tensor) -> tuple[Tensor, Tensor]:
    """The config's mean and standard deviation, each [1, 16, 1, 1], with the device and dtype of ``latents``."""
    mean = torch.tensor(config.latents_mean, device=latents.device, dtype=latents.dtype)
    std = torch.tensor(config.latents_std, device=latents.device, dtype=latents.dtype)
    return mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
