"""The planner's network: a GLM-4 text model with grouped-query attention, sandwich norms and partial three-axis RoPE.

Layout and arithmetic follow transformers' ``models/glm_image``; parameter names are those of the released checkpoint
without its outer ``model.`` prefix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import check_at_most, read_config, section
from ..errors import GLMImageError
from ..geometry import COARSE_TOKENS

MOST_COARSE_TOKENS = 4096
QKV = "q_proj", "k_proj", "v_proj"  # as files have them
FUSED = "qkv_proj"
# of one token, q [B, heads, 1, d], to the first keys and values [B, kv heads, length, d]; how many, int32 [B]
TokenAttention = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # → [B, 1, heads * d]


@dataclass(frozen=True)
class PlannerConfig:
    """Values of vision_language_encoder/config.json; the defaults are those that the released file leaves out.

    coarse_tokens: about this many tokens are in the coarse grid (``preview_tokens`` in the file).
    trained_sides: smallest and largest side of the pictures that the model was trained for, in pixels.
    """

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int
    vision_vocab_size: int
    codebook_size: int
    image_start_token_id: int
    image_end_token_id: int
    mrope_section: tuple[int, int, int]
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    partial_rotary_factor: float = 0.5
    attention_bias: bool = True
    head_dim: int | None = None
    coarse_tokens: int = COARSE_TOKENS
    trained_sides: tuple[int, int] = (512, 2048)

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def group(self) -> int:
        """Number of query heads that share a kv head."""
        return self.num_attention_heads // self.num_key_value_heads

    @property
    def pairs(self) -> int:
        """Number of rotated pairs in each head."""
        return sum(self.mrope_section)

    @classmethod
    def from_json(cls, config: dict, source: str) -> PlannerConfig:
        """Flatten the nested config.json. Raises GLMImageError as ``read_config`` and ``check`` do."""
        text, codebook = section(config, "text_config", source), section(config, "vq_config", source)
        flat = {**config, **text, **section(text, "rope_parameters", source)}
        for name, stored in (("codebook_size", codebook.get("num_embeddings")),
                             ("coarse_tokens", config.get("preview_tokens"))):
            flat[name] = flat.get(name) if stored is None else stored
        result = read_config(cls, flat, source)
        result.check(source)
        return result

    def check(self, source: str) -> None:
        """Raise GLMImageError if values do not fit each other."""
        pairs = int(self.head_size * self.partial_rotary_factor) // 2
        if self.pairs != pairs:
            raise GLMImageError(f"{source}: mrope_section must add up to {pairs} (got {self.mrope_section})")
        if self.num_attention_heads % self.num_key_value_heads:
            raise GLMImageError(f"{source}: num_attention_heads must be a multiple of num_key_value_heads "
                                f"(got {self.num_attention_heads} and {self.num_key_value_heads})")
        check_at_most(self.vision_vocab_size, source, codebook_size=self.codebook_size)
        check_at_most(self.vocab_size, source, vision_vocab_size=self.vision_vocab_size)
        check_at_most(self.vocab_size - 1, source, image_start_token_id=self.image_start_token_id,
                      image_end_token_id=self.image_end_token_id)
        check_at_most(MOST_COARSE_TOKENS, source, preview_tokens=self.coarse_tokens)


class Cache(Protocol):
    """Where a layer's keys and values go, and which of them it attends to."""

    def attend(self, layer: int, position: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store k and v [B, kv heads, n, head size], then attend to all that is stored, as ``attend`` does.

        position: of the first of these n tokens (an int), or those of all of them (a tensor [n]) in a StaticKVCache.
        """
        ...


class KVCache:
    """Keys and values of all layers, two tensors [layers, B, kv heads, length, head size], written in place."""

    def __init__(self, config: PlannerConfig, batch: int, length: int, device, dtype):
        shape = config.num_hidden_layers, batch, config.num_key_value_heads, length, config.head_size
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)
        self.layers = list(zip(self.keys, self.values))  # split once, not for every token

    @staticmethod
    def size_in_bytes(config: PlannerConfig, batch: int, length: int, dtype: torch.dtype) -> int:
        per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_size
        return per_token * batch * length * dtype.itemsize

    def attend(self, layer: int, position: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``Cache``. k and v of batch 1 are stored for every item of the cache: all plans share the prompt."""
        keys, values = self.layers[layer]
        batch, end = k.shape[0], position + k.shape[2]
        keys[:, :, position:end] = k
        values[:, :, position:end] = v
        return attend(q, keys[:batch, :, :end], values[:batch, :, :end])


class StaticKVCache:
    """A KVCache for recorded passes, which attend to the whole cache: a mask or the lengths say what is written.

    layers: keys and values of each layer, [B, kv heads, length, head size]. group: query heads per kv head.
    token_attention: used by passes of one token; None for torch's attention with a mask.
    """

    def __init__(self, layers: list[tuple[Tensor, Tensor]], group: int, token_attention: TokenAttention | None = None):
        self.layers, self.group, self.token_attention = layers, group, token_attention
        self.places = torch.arange(layers[0][0].shape[2], device=layers[0][0].device)
        self.attention, self.written = attend, self.places  # of the present pass

    def set_positions(self, positions: Tensor) -> None:
        """Prepare a pass that writes these positions [n]. Each of its tokens attends up to its own position."""
        keys, _ = self.layers[0]
        if self.token_attention is not None and len(positions) == 1:
            self.attention, self.written = self.token_attention, (positions + 1).to(torch.int32).repeat(len(keys))
            return
        is_later = (self.places > positions[:, None]).repeat(self.group if len(positions) > 1 else 1, 1)
        mask = torch.zeros(is_later.shape, dtype=keys.dtype, device=keys.device).masked_fill_(is_later, -torch.inf)
        self.attention, self.written = attend, mask

    def attend(self, layer: int, position: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``Cache``. position: the tensor [n] that ``set_positions`` was given."""
        keys, values = self.layers[layer]
        keys.index_copy_(2, position, k)
        values.index_copy_(2, position, v)
        return self.attention(q, keys, values, self.written)


def rotary_table(positions: Tensor, config: PlannerConfig, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines [tokens, head size], as ``rotate`` takes them, for positions [3, tokens] on the CPU.

    Each frequency belongs to one of the three axes (mrope_section). The unrotated rest of a head has cosine 1 and
    sine 0.
    """
    axis = [i for i, pairs in enumerate(config.mrope_section) for _ in range(pairs)]
    exponent = torch.arange(len(axis), dtype=torch.float32) / len(axis)
    angles = positions[axis].T * (1 / config.rope_theta**exponent)
    cos, sin = angles.cos(), angles.sin()
    rest = torch.ones(len(angles), config.head_size - 2 * config.pairs)
    return torch.cat((cos, cos, rest), dim=1).to(dtype), torch.cat((-sin, sin, 0 * rest), dim=1).to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor, pairs: int) -> Tensor:
    """Rotate the first 2 * pairs elements of each head of x [..., tokens, head size]; i is paired with i + pairs.

    cos, sin: [tokens, head size]. This takes three operations; separate products and sums would take seven.
    """
    a, b, rest = x.split((pairs, pairs, x.shape[-1] - 2 * pairs), dim=-1)
    return torch.addcmul(x * cos, torch.cat((b, a, rest), dim=-1), sin)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Causal grouped-query attention: q [B, heads, n, d] of the last n tokens of k, v [B, kv heads, length, d].

    Returns [B, n, heads * d]. Unless n == length, the query heads that share a kv head become further queries of that
    head, so that keys and values are not repeated.
    mask: [1 or group * n, length], added to the scores of these queries, where the last tokens are not the last of k.
    """
    batch, heads, n, d = q.shape
    kv_heads, length = k.shape[1:3]
    if n == length:
        k, v = (x.repeat_interleave(heads // kv_heads, dim=1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    group = heads // kv_heads
    if n > 1 and mask is None:
        mask = torch.ones(n, length, dtype=torch.bool, device=q.device).tril(length - n).repeat(group, 1)
    out = F.scaled_dot_product_attention(q.reshape(batch, kv_heads, group * n, d), k, v, attn_mask=mask)
    return out.reshape(batch, heads, n, d).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Grouped-query attention. fused: one matrix gives queries, keys and values, see ``has_plain_qkv``."""

    def __init__(self, config: PlannerConfig, fused: bool = False, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.head_size, self.pairs, self.fused = config.head_size, config.pairs, fused
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        hidden, inner, kv_inner = config.hidden_size, self.heads * self.head_size, self.kv_heads * self.head_size
        kw = {"device": device, "dtype": dtype}
        if fused:
            self.qkv_proj = operations.Linear(hidden, inner + 2 * kv_inner, bias=config.attention_bias, **kw)
            self.register_load_state_dict_pre_hook(fuse_qkv)
        else:
            self.q_proj = operations.Linear(hidden, inner, bias=config.attention_bias, **kw)
            self.k_proj = operations.Linear(hidden, kv_inner, bias=config.attention_bias, **kw)
            self.v_proj = operations.Linear(hidden, kv_inner, bias=config.attention_bias, **kw)
        self.o_proj = operations.Linear(inner, hidden, bias=False, **kw)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], cache: Cache, layer: int,
                position: int | Tensor) -> Tensor:
        """x [B, n, hidden] → the same shape. position: see ``Cache``. rotary: as for the model."""
        qkv = self.qkv_proj(x) if self.fused else torch.cat((self.q_proj(x), self.k_proj(x), self.v_proj(x)), dim=-1)
        qkv = qkv.unflatten(-1, (-1, self.head_size)).transpose(1, 2)
        qk, v = qkv.split((self.heads + self.kv_heads, self.kv_heads), dim=1)
        q, k = rotate(qk, *rotary, self.pairs).split((self.heads, self.kv_heads), dim=1)
        return self.o_proj(cache.attend(layer, position, q, k, v))


def fuse_qkv(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, local_metadata: dict, strict: bool,
             missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
    """A load hook: the file's three matrices become one. A missing one is reported under its name in files.

    Fusing copies q, k and v into new memory. With memory-mapped weights that is an extra copy, which loaders avoid.
    """
    for kind, _ in module.get_submodule(FUSED).named_parameters():  # weight, bias
        names = [f"{prefix}{part}.{kind}" for part in QKV]
        absent = [name for name in names if name not in state_dict]
        missing_keys.extend(absent)
        if not absent:
            state_dict[f"{prefix}{FUSED}.{kind}"] = torch.cat([state_dict.pop(name) for name in names])


def has_plain_qkv(tensors: dict[str, Tensor]) -> bool:
    """Whether q, k and v can be fused. Quantised matrices cannot, as each has its own scale."""
    return all(name.endswith((".weight", ".bias")) for name in tensors if f".{QKV[0]}." in name)


def released_names(module: nn.Module) -> set[str]:
    """Names of a module's tensors as files have them: q, k and v are separate there even if the module fuses them."""
    names = set(module.state_dict())
    fused = {name for name in names if FUSED in name}
    return (names - fused) | {name.replace(FUSED, part) for name in fused for part in QKV}


class MLP(nn.Module):
    def __init__(self, config: PlannerConfig, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"bias": False, "device": device, "dtype": dtype}
        self.gate_up_proj = operations.Linear(config.hidden_size, 2 * config.intermediate_size, **kw)
        self.down_proj = operations.Linear(config.intermediate_size, config.hidden_size, **kw)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n, hidden] → the same shape."""
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, config: PlannerConfig, fused: bool = False, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        self.self_attn = Attention(config, fused, operations=operations, **kw)
        self.mlp = MLP(config, operations=operations, **kw)

        def norm() -> nn.Module:
            return operations.RMSNorm(config.hidden_size, eps=config.rms_norm_eps, **kw)

        self.input_layernorm, self.post_self_attn_layernorm = norm(), norm()
        self.post_attention_layernorm, self.post_mlp_layernorm = norm(), norm()  # both around the MLP

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], cache: Cache, layer: int,
                position: int | Tensor) -> Tensor:
        """Shapes as in ``Attention.forward``."""
        x = x + self.post_self_attn_layernorm(self.self_attn(self.input_layernorm(x), rotary, cache, layer, position))
        return x + self.post_mlp_layernorm(self.mlp(self.post_attention_layernorm(x)))


class LanguageModel(nn.Module):
    def __init__(self, config: PlannerConfig, fused: bool = False, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        self.embed_tokens = operations.Embedding(config.vocab_size, config.hidden_size, **kw)
        self.layers = nn.ModuleList(Layer(config, fused, operations=operations, **kw)
                                    for _ in range(config.num_hidden_layers))
        self.norm = operations.RMSNorm(config.hidden_size, eps=config.rms_norm_eps, **kw)


class PlannerModel(nn.Module):
    """Text model and image head.

    dtype: of the weights; activations have the type of their embeddings. fused: see ``Attention``.
    token_attention: of recorded passes, which a host may choose; see ``StaticKVCache``.
    """

    def __init__(self, config: PlannerConfig, device=None, dtype=None, operations: Any = None, fused: bool = False,
                 token_attention: TokenAttention | None = None):
        super().__init__()
        self.config, self.token_attention = config, token_attention
        self.language_model = LanguageModel(config, fused, device, dtype, operations)
        self.lm_head = operations.Linear(config.hidden_size, config.vision_vocab_size, bias=False,
                                         device=device, dtype=dtype)

    def embed(self, ids: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
        """Embeddings [..., hidden] of ids [...], looked up on the table's device, then moved to ``device``."""
        table = self.language_model.embed_tokens.weight
        return F.embedding(ids.to(table.device), table).to(device, dtype)

    def code_embeddings(self, device: torch.device | str, dtype: torch.dtype) -> Tensor:
        """The codebook's embeddings [codebook size, hidden], which are the first rows of the table."""
        return self.language_model.embed_tokens.weight[: self.config.codebook_size].to(device, dtype)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], cache: Cache, position: int | Tensor) -> Tensor:
        """Hidden states [B, n, hidden] of embeddings x [B, n, hidden].

        position: of these tokens in the cache, see ``Cache``.
        rotary: cosines and sines of the n tokens, [n, head size] or [B, 1, n, head size].
        """
        text = self.language_model
        for i, layer in enumerate(text.layers):
            x = layer(x, rotary, cache, i, position)
        return text.norm(x)
