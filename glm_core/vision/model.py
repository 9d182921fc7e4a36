"""The vision tower and its codebook: a plain ViT, whose features are matched to the nearest of 16384 directions.

Arithmetic follows transformers' ``models/glm_image`` (GlmImageVisionModel, GlmImageVQVAE); parameter names are the
released ones without the outer ``model.``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import check_at_most, read_config, section
from ..errors import GLMImageError
from ..geometry import LONGEST_SIDE, SHORTEST_SIDE

MOST_SIDE = 16384  # pixels


@dataclass(frozen=True)
class VisionConfig:
    """vision_config and vq_config of vision_language_encoder/config.json; the released file leaves out the defaults.

    shortest_side, longest_side: see ``reference_size``, in pixels.
    """

    hidden_size: int
    depth: int
    num_heads: int
    intermediate_size: int
    embed_dim: int
    num_embeddings: int
    patch_size: int = 16
    image_size: int = 2048
    layer_norm_eps: float = 1e-6
    attention_bias: bool = True
    shortest_side: int = SHORTEST_SIDE
    longest_side: int = LONGEST_SIDE

    @classmethod
    def from_json(cls, config: dict, source: str) -> VisionConfig:
        flat = {**section(config, "vq_config", source), **section(config, "vision_config", source)}
        result = read_config(cls, flat, source)
        if result.hidden_size % result.num_heads:
            raise GLMImageError(f"{source}: hidden_size must be a multiple of num_heads "
                                f"(got {result.hidden_size} and {result.num_heads})")
        check_at_most(MOST_SIDE, source, image_size=result.image_size, longest_side=result.longest_side,
                      shortest_side=result.shortest_side)
        check_at_most(result.longest_side, source, shortest_side=result.shortest_side)
        return result


class PatchEmbed(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.proj = operations.Conv2d(3, config.hidden_size, config.patch_size, stride=config.patch_size,
                                      device=device, dtype=dtype)


class Embeddings(nn.Module):
    """Position embeddings: a square table, sampled bilinearly at the centres of the image's own patches."""

    def __init__(self, config: VisionConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.side = config.image_size // config.patch_size
        self.position_embedding = operations.Embedding(self.side**2, config.hidden_size, device=device, dtype=dtype)

    def forward(self, rows: int, columns: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """[1, rows * columns, hidden] in ``dtype``, sampled in float32 whatever the type of the weights."""
        table = self.position_embedding(torch.arange(self.side**2, device=device), out_dtype=torch.float32)
        table = rearrange(table, "(h w) c -> 1 c h w", h=self.side)
        y, x = patch_centres(rows, device), patch_centres(columns, device)
        grid = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), dim=-1)[None]
        sampled = F.grid_sample(table, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return rearrange(sampled, "b c h w -> b (h w) c").to(dtype)


def patch_centres(patches: int, device: torch.device) -> Tensor:
    """Centres of a row of patches that spans -1...1: float32 [patches]."""
    return (torch.arange(patches, device=device, dtype=torch.float32) + 0.5) / patches * 2 - 1


class Attention(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.heads, width = config.num_heads, config.hidden_size
        self.qkv = operations.Linear(width, 3 * width, bias=config.attention_bias, device=device, dtype=dtype)
        self.proj = operations.Linear(width, width, bias=config.attention_bias, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, n, hidden] → the same shape."""
        q, k, v = rearrange(self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(rearrange(x, "b heads n d -> b n (heads d)"))


class MLP(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.fc1 = operations.Linear(config.hidden_size, config.intermediate_size, device=device, dtype=dtype)
        self.fc2 = operations.Linear(config.intermediate_size, config.hidden_size, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, n, hidden] → the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        self.norm1 = operations.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, **kw)
        self.attn = Attention(config, operations=operations, **kw)
        self.norm2 = operations.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, **kw)
        self.mlp = MLP(config, operations=operations, **kw)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, n, hidden] → the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTower(nn.Module):
    """A ViT without a final norm, rotary positions or patch merging."""

    def __init__(self, config: VisionConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.patch_embed = PatchEmbed(config, **kw)
        self.embeddings = Embeddings(config, **kw)
        self.blocks = nn.ModuleList(Block(config, **kw) for _ in range(config.depth))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in -1...1 → features [B, hidden, H/16, W/16]."""
        x = self.patch_embed.proj(pixels)
        rows, columns = x.shape[2:]
        x = rearrange(x, "b c h w -> b (h w) c") + self.embeddings(rows, columns, x.device, x.dtype)
        for block in self.blocks:
            x = block(x)
        return rearrange(x, "b (h w) c -> b c h w", h=rows)


class Codebook(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.embedding = operations.Embedding(config.num_embeddings, config.embed_dim, device=device, dtype=dtype)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, n, embed_dim] → the id of the nearest direction for each, int64 [B, n].

        Always in float32: in bfloat16 distances tie, and the ids come out different.
        """
        ids = torch.arange(self.embedding.num_embeddings, device=features.device)
        codes = F.normalize(self.embedding(ids, out_dtype=torch.float32), dim=-1)
        features = F.normalize(features.float(), dim=-1)
        distance = features.square().sum(-1, keepdim=True) + codes.square().sum(-1) - 2 * features @ codes.T
        return distance.argmin(-1)


class VQModel(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.quant_conv = operations.Conv2d(config.hidden_size, config.embed_dim, 1, device=device, dtype=dtype)
        self.quantize = Codebook(config, device, dtype, operations)


class SemanticVQ(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.config = config
        self.visual = VisionTower(config, device, dtype, operations)
        self.vqmodel = VQModel(config, device, dtype, operations)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in -1...1 → token ids, int64 [B, H/16, W/16]."""
        features = self.vqmodel.quant_conv(self.visual(pixels))
        ids = self.vqmodel.quantize(rearrange(features, "b c h w -> b (h w) c"))
        return rearrange(ids, "b (h w) -> b h w", h=features.shape[2])
