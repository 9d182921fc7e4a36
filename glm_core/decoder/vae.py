"""The autoencoder: 8 x 8 pixels to 16 channels and back, in diffusers' AutoencoderKL layout.

The released one has neither attention in the middle nor quant convolutions, and its own block widths.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import read_config
from .latents import LATENTS_MEAN, LATENTS_STD

EPS = 1e-6


@dataclass(frozen=True)
class VAEConfig:
    """Values of vae/config.json; scaling_factor and shift_factor are there too, but the reference ignores them."""

    block_out_channels: tuple[int, ...]
    layers_per_block: int
    latent_channels: int = 16
    norm_num_groups: int = 32
    latents_mean: tuple[float, ...] = LATENTS_MEAN
    latents_std: tuple[float, ...] = LATENTS_STD

    @classmethod
    def from_json(cls, config: dict, source: str) -> VAEConfig:
        return read_config(cls, config, source)


class ResNet(nn.Module):
    def __init__(self, in_dim: int, out_dim: int, groups: int, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        self.norm1 = operations.GroupNorm(groups, in_dim, eps=EPS, **kw)
        self.conv1 = operations.Conv2d(in_dim, out_dim, 3, padding=1, **kw)
        self.norm2 = operations.GroupNorm(groups, out_dim, eps=EPS, **kw)
        self.conv2 = operations.Conv2d(out_dim, out_dim, 3, padding=1, **kw)
        self.conv_shortcut = operations.Conv2d(in_dim, out_dim, 1, **kw) if in_dim != out_dim else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class Sampler(nn.Module):
    """Halve (padding right and below) or double the picture, then or thereby a 3 x 3 convolution."""

    def __init__(self, dim: int, stride: int, device=None, dtype=None, operations=None):
        super().__init__()
        self.stride = stride
        self.conv = operations.Conv2d(dim, dim, 3, stride=stride, padding=0 if stride == 2 else 1, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 1, 0, 1)) if self.stride == 2 else F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.conv(x)


class Stage(nn.Module):
    """Residual blocks and, but for the last stage, a change of size."""

    def __init__(self, in_dim: int, out_dim: int, layers: int, sampler: str | None, config: VAEConfig, **kw):
        super().__init__()
        self.resnets = nn.ModuleList(
            ResNet(in_dim if i == 0 else out_dim, out_dim, config.norm_num_groups, **kw) for i in range(layers))
        self.sampler = sampler
        if sampler:
            self.add_module(sampler, nn.ModuleList([Sampler(out_dim, 2 if sampler == "downsamplers" else 1, **kw)]))

    def forward(self, x: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        return self.get_submodule(self.sampler)[0](x) if self.sampler else x


class Coder(nn.Module):
    """What encoder and decoder share: convolutions at both ends and the two residual blocks of the middle."""

    def __init__(self, in_dim: int, first: int, middle: int, last: int, out_dim: int, config: VAEConfig, **kw):
        super().__init__()
        operations, place = kw["operations"], {"device": kw["device"], "dtype": kw["dtype"]}
        self.conv_in = operations.Conv2d(in_dim, first, 3, padding=1, **place)
        self.mid_block = nn.Module()
        self.mid_block.resnets = nn.ModuleList(ResNet(middle, middle, config.norm_num_groups, **kw) for _ in range(2))
        self.conv_norm_out = operations.GroupNorm(config.norm_num_groups, last, eps=EPS, **place)
        self.conv_out = operations.Conv2d(last, out_dim, 3, padding=1, **place)

    def middle(self, x: Tensor) -> Tensor:
        for resnet in self.mid_block.resnets:
            x = resnet(x)
        return x

    def finish(self, x: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Encoder(Coder):
    def __init__(self, config: VAEConfig, **kw):
        dims = config.block_out_channels
        super().__init__(3, dims[0], dims[-1], dims[-1], 2 * config.latent_channels, config, **kw)
        self.down_blocks = nn.ModuleList(
            Stage(dims[max(i - 1, 0)], dim, config.layers_per_block, "downsamplers" if i < len(dims) - 1 else None, config, **kw)
            for i, dim in enumerate(dims))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for stage in self.down_blocks:
            x = stage(x)
        return self.finish(self.middle(x))


class Decoder(Coder):
    def __init__(self, config: VAEConfig, **kw):
        dims = config.block_out_channels[::-1]
        super().__init__(config.latent_channels, dims[0], dims[0], dims[-1], 3, config, **kw)
        self.up_blocks = nn.ModuleList(
            Stage(dims[max(i - 1, 0)], dim, config.layers_per_block + 1, "upsamplers" if i < len(dims) - 1 else None, config, **kw)
            for i, dim in enumerate(dims))

    def forward(self, z: Tensor) -> Tensor:
        x = self.middle(self.conv_in(z))
        for stage in self.up_blocks:
            x = stage(x)
        return self.finish(x)


class AutoencoderKL(nn.Module):
    def __init__(self, config: VAEConfig, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.config = config
        self.encoder = Encoder(config, **kw)
        self.decoder = Decoder(config, **kw)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in -1...1 → mean of the latent distribution [B, 16, H/8, W/8], not normalised."""
        return self.encoder(pixels).chunk(2, dim=1)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """The way back; latents are not normalised."""
        return self.decoder(latents)


def latent_statistics(config, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a config with latents_mean and latents_std, ready to broadcast over ``latents``."""
    mean, std = (torch.tensor(values, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1)
                 for values in (config.latents_mean, config.latents_std))
    return mean, std
