"""The vision tower and its codebook: a plain ViT whose features are matched to 16384 directions.

Arithmetic follows transformers' ``models/glm_image`` (GlmImageVisionModel, GlmImageVQVAE); parameter names are the
released ones without the outer ``model.``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import read_config
from ..geometry import LONGEST, SHORTEST


@dataclass(frozen=True)
class VisionConfig:
    """vision_config and vq_config of vision_language_encoder/config.json; defaults are what the released file leaves out.

    shortest_side, longest_side: the range that pictures are brought into, in pixels.
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
    shortest_side: int = SHORTEST
    longest_side: int = LONGEST

    @classmethod
    def from_json(cls, config: dict, source: str) -> VisionConfig:
        return read_config(cls, {**config.get("vq_config", {}), **config.get("vision_config", {})}, source)


class PatchEmbed(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.proj = operations.Conv2d(3, config.hidden_size, config.patch_size, stride=config.patch_size, device=device, dtype=dtype)


class Embeddings(nn.Module):
    """A square table of positions, read bilinearly at the centres of the picture's own grid."""

    def __init__(self, config: VisionConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.side = config.image_size // config.patch_size
        self.position_embedding = operations.Embedding(self.side**2, config.hidden_size, device=device, dtype=dtype)

    def forward(self, rows: int, columns: int, device, dtype) -> Tensor:
        """[1, rows * columns, hidden]; sampled in float32 whatever the weights are."""
        table = self.position_embedding(torch.arange(self.side**2, device=device), out_dtype=torch.float32)
        table = table.view(1, self.side, self.side, -1).permute(0, 3, 1, 2)
        y, x = ((torch.arange(n, device=device, dtype=torch.float32) + 0.5) / n * 2 - 1 for n in (rows, columns))
        grid = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), dim=-1)[None]
        sampled = F.grid_sample(table, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return sampled.flatten(2).transpose(1, 2).to(dtype)


class Attention(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.heads, width = config.num_heads, config.hidden_size
        self.qkv = operations.Linear(width, 3 * width, bias=config.attention_bias, device=device, dtype=dtype)
        self.proj = operations.Linear(width, width, bias=config.attention_bias, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.fc1 = operations.Linear(config.hidden_size, config.intermediate_size, device=device, dtype=dtype)
        self.fc2 = operations.Linear(config.intermediate_size, config.hidden_size, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        self.norm1 = operations.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, **kw)
        self.attn = Attention(config, operations=operations, **kw)
        self.norm2 = operations.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, **kw)
        self.mlp = MLP(config, operations=operations, **kw)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTower(nn.Module):
    """No final norm, no rotary, no merging of patches."""

    def __init__(self, config: VisionConfig, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.patch_embed = PatchEmbed(config, **kw)
        self.embeddings = Embeddings(config, **kw)
        self.blocks = nn.ModuleList(Block(config, **kw) for _ in range(config.depth))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in -1...1 → features [B, hidden, H/16, W/16]."""
        x = self.patch_embed.proj(pixels)
        rows, columns = x.shape[2:]
        x = x.flatten(2).transpose(1, 2) + self.embeddings(rows, columns, x.device, x.dtype)
        for block in self.blocks:
            x = block(x)
        return x.transpose(1, 2).unflatten(2, (rows, columns))


class Codebook(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.embedding = operations.Embedding(config.num_embeddings, config.embed_dim, device=device, dtype=dtype)

    def forward(self, features: Tensor) -> Tensor:
        """The nearest direction's id for each of features [B, n, embed_dim]: int64 [B, n].

        In float32 always: in bfloat16 the distances tie, and up to a fifth of random ids differ.
        """
        codes = self.embedding(torch.arange(self.embedding.num_embeddings, device=features.device), out_dtype=torch.float32)
        codes, features = F.normalize(codes, dim=-1), F.normalize(features.float(), dim=-1)
        distance = features.square().sum(-1, keepdim=True) + codes.square().sum(-1) - 2 * features @ codes.T
        return distance.argmin(-1)


class VQModel(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.quant_conv = operations.Conv2d(config.hidden_size, config.embed_dim, 1, device=device, dtype=dtype)
        self.quantize = Codebook(config, device, dtype, operations)


class SemanticVQ(nn.Module):
    def __init__(self, config: VisionConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.config = config
        self.visual = VisionTower(config, device, dtype, operations)
        self.vqmodel = VQModel(config, device, dtype, operations)

    def forward(self, pixels: Tensor) -> Tensor:
        """Token ids [B, H/16, W/16] of pixels [B, 3, H, W] in -1...1."""
        features = self.vqmodel.quant_conv(self.visual(pixels))
        return self.vqmodel.quantize(features.flatten(2).transpose(1, 2)).unflatten(1, features.shape[2:])
