"""The T5 encoder of ByT5-small (Raffel et al. 2020, Xue et al. 2022), with the parameter names of transformers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import read_config
from ..errors import GLMImageError

LEAST_BUCKETS = 4
MAX_DISTANCE = 128  # positions at least this far apart share the last bucket


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
        result = read_config(cls, config, source)
        if not LEAST_BUCKETS <= result.relative_attention_num_buckets <= MAX_DISTANCE:
            raise GLMImageError(f"{source}: relative_attention_num_buckets must be from {LEAST_BUCKETS} to "
                                f"{MAX_DISTANCE} (got {result.relative_attention_num_buckets})")
        return result


def position_buckets(length: int, buckets: int, device: torch.device | None = None) -> Tensor:
    """The bucket of every (query, key) pair: int64 [length, length].

    Each direction has half of the buckets. Half of these hold one distance each, the others ranges that grow
    logarithmically up to MAX_DISTANCE.
    """
    positions = torch.arange(length, device=device)
    offset = positions[None, :] - positions[:, None]
    distance = offset.abs()
    per_direction = buckets // 2
    exact = per_direction // 2
    position_in_range = torch.log(distance.clamp(min=1).float() / exact) / math.log(MAX_DISTANCE / exact)
    far = exact + (position_in_range * (per_direction - exact)).long()
    bucket = torch.where(distance < exact, distance, far.clamp(max=per_direction - 1))
    return bucket + (offset > 0) * per_direction


class SelfAttention(nn.Module):
    def __init__(self, config: GlyphConfig, has_bias: bool, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        inner = config.num_heads * config.d_kv
        self.heads = config.num_heads
        self.q, self.k, self.v = (operations.Linear(config.d_model, inner, bias=False, **kw) for _ in range(3))
        self.o = operations.Linear(inner, config.d_model, bias=False, **kw)
        if has_bias:
            self.relative_attention_bias = operations.Embedding(config.relative_attention_num_buckets, config.num_heads,
                                                                **kw)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x [B, n, d_model] → the same shape. bias: [1, heads, n, n], added to the scores."""
        q, k, v = self.split_heads(self.q(x)), self.split_heads(self.k(x)), self.split_heads(self.v(x))
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)  # T5 does not scale the scores
        return self.o(rearrange(x, "b heads n d -> b n (heads d)"))

    def split_heads(self, y: Tensor) -> Tensor:
        """[B, n, heads * d_kv] → [B, heads, n, d_kv]."""
        return rearrange(y, "b n (heads d) -> b heads n d", heads=self.heads)


class GatedFeedForward(nn.Module):
    def __init__(self, config: GlyphConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"bias": False, "device": device, "dtype": dtype}
        self.wi_0, self.wi_1 = (operations.Linear(config.d_model, config.d_ff, **kw) for _ in range(2))
        self.wo = operations.Linear(config.d_ff, config.d_model, **kw)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n, d_model] → the same shape."""
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))


class SubLayer(nn.Module):
    """A pre-normalised sub-layer with its residual, under the name that the checkpoint gives it."""

    def __init__(self, name: str, module: nn.Module, config: GlyphConfig, device=None, dtype=None,
                 operations: Any = None):
        super().__init__()
        self.name = name
        self.add_module(name, module)
        self.layer_norm = operations.RMSNorm(config.d_model, eps=config.layer_norm_epsilon, device=device, dtype=dtype)

    def forward(self, x: Tensor, *args) -> Tensor:
        """x [B, n, d_model] → the same shape. args: what the sub-layer takes after x."""
        return x + self.get_submodule(self.name)(self.layer_norm(x), *args)


class Block(nn.Module):
    def __init__(self, config: GlyphConfig, has_bias: bool, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.layer = nn.ModuleList([
            SubLayer("SelfAttention", SelfAttention(config, has_bias, **kw), config, **kw),
            SubLayer("DenseReluDense", GatedFeedForward(config, **kw), config, **kw),
        ])

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x [B, n, d_model] → the same shape. bias: [1, heads, n, n]."""
        attention, feed_forward = self.layer
        return feed_forward(attention(x, bias))


class Encoder(nn.Module):
    def __init__(self, config: GlyphConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.block = nn.ModuleList(Block(config, has_bias=i == 0, **kw) for i in range(config.num_layers))
        self.final_layer_norm = operations.RMSNorm(config.d_model, eps=config.layer_norm_epsilon, device=device,
                                                   dtype=dtype)


class GlyphEncoder(nn.Module):
    def __init__(self, config: GlyphConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.config = config
        self.shared = operations.Embedding(config.vocab_size, config.d_model, device=device, dtype=dtype)
        self.encoder = Encoder(config, device, dtype, operations)

    def forward(self, ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Ids [B, n], without a mask → embeddings [B, n, d_model], computed in ``dtype``."""
        table = self.encoder.get_submodule("block.0.layer.0.SelfAttention.relative_attention_bias")  # for all blocks
        buckets = position_buckets(ids.shape[1], self.config.relative_attention_num_buckets, ids.device)
        bias = rearrange(table(buckets, out_dtype=dtype), "query key heads -> 1 heads query key")
        x = self.shared(ids, out_dtype=dtype)
        for block in self.encoder.block:
            x = block(x, bias)
        return self.encoder.final_layer_norm(x)


def encode_texts(model: GlyphEncoder, tokens: list[list[int]], device: torch.device | str | None,
                 dtype: torch.dtype = torch.float32) -> Tensor:
    """Ids of several texts → embeddings [1, sum of lengths, d_model]. Each text is encoded alone, then all are joined.

    device, dtype: those of the activations.
    """
    return torch.cat([model(torch.tensor([ids], device=device), dtype) for ids in tokens], dim=1)
