"""The T5 encoder of ByT5-small (Raffel et al. 2020, Xue et al. 2022) with the parameter names of transformers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import read_config

MAX_DISTANCE = 128  # positions further apart share the last bucket


@dataclass(frozen=True)
class GlyphConfig:
    """Values of text_encoder/config.json."""

    d_model: int
    d_ff: int
    d_kv: int
    num_heads: int
    num_layers: int
    vocab_size: int
    relative_attention_num_buckets: int = 32
    layer_norm_epsilon: float = 1e-6

    @classmethod
    def from_json(cls, config: dict, source: str) -> GlyphConfig:
        return read_config(cls, config, source)


def position_buckets(length: int, buckets: int, device=None) -> Tensor:
    """Bucket of every (query, key) pair: int64 [length, length]; half the buckets per direction,
    half of those exact, the rest logarithmic up to MAX_DISTANCE."""
    offset = torch.arange(length, device=device)[None, :] - torch.arange(length, device=device)[:, None]
    side = buckets // 2
    exact = side // 2
    distance = offset.abs()
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(MAX_DISTANCE / exact) * (side - exact)
    far = (exact + far.long()).clamp(max=side - 1)
    return torch.where(distance < exact, distance, far) + (offset > 0) * side


class SelfAttention(nn.Module):
    def __init__(self, config: GlyphConfig, has_bias: bool, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        inner = config.num_heads * config.d_kv
        self.heads = config.num_heads
        self.q, self.k, self.v = (operations.Linear(config.d_model, inner, bias=False, **kw) for _ in range(3))
        self.o = operations.Linear(inner, config.d_model, bias=False, **kw)
        if has_bias:
            self.relative_attention_bias = operations.Embedding(config.relative_attention_num_buckets, config.num_heads, **kw)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (proj(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for proj in (self.q, self.k, self.v))
        # T5 leaves the scores unscaled
        return self.o(F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0).transpose(1, 2).flatten(2))


class GatedFeedForward(nn.Module):
    def __init__(self, config: GlyphConfig, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"bias": False, "device": device, "dtype": dtype}
        self.wi_0, self.wi_1 = (operations.Linear(config.d_model, config.d_ff, **kw) for _ in range(2))
        self.wo = operations.Linear(config.d_ff, config.d_model, **kw)

    def forward(self, x: Tensor) -> Tensor:
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))


class SubLayer(nn.Module):
    """A pre-normalised sub-layer with its residual, under the name that the checkpoint gives it."""

    def __init__(self, name: str, module: nn.Module, config: GlyphConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.name = name
        self.add_module(name, module)
        self.layer_norm = operations.RMSNorm(config.d_model, eps=config.layer_norm_epsilon, device=device, dtype=dtype)

    def forward(self, x: Tensor, *args) -> Tensor:
        return x + self.get_submodule(self.name)(self.layer_norm(x), *args)


class Block(nn.Module):
    def __init__(self, config: GlyphConfig, has_bias: bool, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.layer = nn.ModuleList([
            SubLayer("SelfAttention", SelfAttention(config, has_bias, **kw), config, **kw),
            SubLayer("DenseReluDense", GatedFeedForward(config, **kw), config, **kw),
        ])

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.layer[1](self.layer[0](x, bias))


class Encoder(nn.Module):
    def __init__(self, config: GlyphConfig, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.block = nn.ModuleList(Block(config, has_bias=i == 0, **kw) for i in range(config.num_layers))
        self.final_layer_norm = operations.RMSNorm(config.d_model, eps=config.layer_norm_epsilon, device=device, dtype=dtype)


class GlyphEncoder(nn.Module):
    def __init__(self, config: GlyphConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.config = config
        self.shared = operations.Embedding(config.vocab_size, config.d_model, device=device, dtype=dtype)
        self.encoder = Encoder(config, device, dtype, operations)

    def forward(self, ids: Tensor, dtype=torch.float32) -> Tensor:
        """Embeddings [B, n, d_model] of ids [B, n], all of them attended to, computed in ``dtype``."""
        table = self.encoder.block[0].layer[0].SelfAttention.relative_attention_bias  # shared by all blocks
        buckets = position_buckets(ids.shape[1], self.config.relative_attention_num_buckets, ids.device)
        bias = table(buckets, out_dtype=dtype).permute(2, 0, 1)[None]
        x = self.shared(ids, out_dtype=dtype)
        for block in self.encoder.block:
            x = block(x, bias)
        return self.encoder.final_layer_norm(x)


def encode_texts(model: GlyphEncoder, tokens: list[list[int]], device, dtype=torch.float32) -> Tensor:
    """Embeddings [1, sum of lengths, d_model]: each text encoded alone, then joined in order."""
    return torch.cat([model(torch.tensor([ids], device=device), dtype) for ids in tokens], dim=1)
