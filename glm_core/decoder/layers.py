"""The layers of the diffusion transformer.

In shapes: B is the batch, n the number of image tokens (each 2 x 2 latent pixels), text_len the number of text tokens,
inner = heads * head_dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5
FREQUENCY_BASE = 10000  # of timestep embeddings and rotary angles

Rotary = Tensor  # float32 [n, 2, 2, head_dim / 2]: for every token, what its two halves give to the two rotated halves
KeyValue = tuple[Tensor, Tensor]  # keys and values of one block, each [b, heads, n, head_dim], normalised and rotated
AttentionFunction = Callable[[Tensor, Tensor, Tensor, int, dict], Tensor]  # see ``sdpa``
RotaryFunction = Callable[[Tensor, Rotary], Tensor]  # see ``rotate``


def sdpa(q: Tensor, k: Tensor, v: Tensor, heads: int, transformer_options: dict) -> Tensor:
    """Attention: q [B, heads, n, head_dim], k and v [B, heads, m, head_dim] → [B, n, inner].

    Ignores transformer_options, which a host's own function may use.
    """
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def sinusoid(values: Tensor, dim: int) -> Tensor:
    """Values [n] → sinusoidal embedding, float32 [n, dim]: cosines, then sines."""
    half = dim // 2
    exponent = torch.arange(half, device=values.device, dtype=torch.float32)
    frequency = torch.exp(-math.log(FREQUENCY_BASE) * exponent / half)
    angle = values.float()[:, None] * frequency
    return torch.cat((angle.cos(), angle.sin()), dim=-1)


def rotary_table(rows: int, columns: int, head_dim: int, device: torch.device, text_len: int = 0) -> Rotary:
    """The rotations of text tokens, which have no positions and stay as they are, and then of rows * columns patches.

    Half of a patch's angles follow its row, half its column.
    """
    half = head_dim // 2
    frequency = 1 / FREQUENCY_BASE ** (torch.arange(0, half, 2, device=device, dtype=torch.float32) / half)
    row_angles = torch.outer(torch.arange(rows, device=device, dtype=torch.float32), frequency)
    column_angles = torch.outer(torch.arange(columns, device=device, dtype=torch.float32), frequency)
    row_angles = row_angles[:, None].expand(-1, columns, -1)
    column_angles = column_angles[None].expand(rows, -1, -1)
    angles = F.pad(torch.cat((row_angles, column_angles), dim=-1).flatten(0, 1), (0, 0, text_len, 0))
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((cos, sin, -sin, cos), dim=1).unflatten(1, (2, 2))


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Rotate x [B, heads, n, head_dim] in float32; element i is paired with i + head_dim / 2."""
    first, second = x.unflatten(-1, (2, 1, -1)).unbind(-3)
    by_first, by_second = rotary.unbind(1)
    return (by_first * first).addcmul_(by_second, second).flatten(-2).to(x.dtype)


class Kernels(NamedTuple):
    """Functions that a host may replace by faster ones."""

    attend: AttentionFunction = sdpa
    rotate: RotaryFunction = rotate


def match_batch(reference: Tensor, own: Tensor) -> Tensor:
    """Keys or values of a reference image [b, heads, m, head_dim] → [B, heads, m, head_dim], with ``own``'s batch B.

    If b is 1, all items share them; else the b items repeat in order. They may come from another device than ``own``.
    """
    reference = reference.to(own.device, own.dtype)
    if len(reference) == 1:
        return reference.expand(len(own), -1, -1, -1)
    return reference.repeat(len(own) // len(reference), 1, 1, 1)


def prepend_references(references: Sequence[Tensor], own: Tensor) -> Tensor:
    """Keys or values of every reference image, then ``own``: [B, heads, m_1 + m_2 + … + n, head_dim]."""
    return torch.cat([*(match_batch(reference, own) for reference in references), own], dim=2)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale x [B, n, inner] by 1 + scale and shift it; shift and scale are [B, 1, inner]."""
    return torch.addcmul(shift, x, 1 + scale)


class TimestepEmbedding(nn.Module):
    def __init__(self, in_dim: int, out_dim: int, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.linear_1 = operations.Linear(in_dim, out_dim, device=device, dtype=dtype)
        self.linear_2 = operations.Linear(out_dim, out_dim, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_dim] → [B, out_dim]."""
        return self.linear_2(F.silu(self.linear_1(x)))


class Activation(nn.Module):
    """First half of diffusers' FeedForward: a linear layer and its activation function."""

    def __init__(self, in_dim: int, out_dim: int, activation: Callable[[Tensor], Tensor], device=None, dtype=None,
                 operations: Any = None):
        super().__init__()
        self.proj = operations.Linear(in_dim, out_dim, device=device, dtype=dtype)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_dim] → [..., out_dim]."""
        return self.activation(self.proj(x))


class FeedForward(nn.Module):
    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int, activation: Callable[[Tensor], Tensor],
                 device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.net = nn.Sequential(
            Activation(in_dim, hidden_dim, activation, device, dtype, operations),
            nn.Identity(),  # dropout in training
            operations.Linear(hidden_dim, out_dim, device=device, dtype=dtype),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_dim] → [..., out_dim]."""
        return self.net(x)


def gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


class Attention(nn.Module):
    """Text and image tokens share the projections."""

    def __init__(self, inner: int, heads: int, kernels: Kernels, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        self.heads, self.kernels = heads, kernels
        self.to_q, self.to_k, self.to_v = (operations.Linear(inner, inner, **kw) for _ in range(3))
        self.to_out = nn.ModuleList([operations.Linear(inner, inner, **kw)])
        self.norm = operations.LayerNorm(inner // heads, eps=EPS, elementwise_affine=False, **kw)

    def forward(self, x: Tensor, rotary: Rotary, transformer_options: dict,
                references: Sequence[KeyValue] = ()) -> Tensor:
        """x [B, text_len + n, inner], text tokens and then image tokens → the same shape.

        references: keys and values that the tokens attend to besides their own.
        """
        q, k, v = self.project(x, rotary)
        if references:
            k = prepend_references([key for key, value in references], k)
            v = prepend_references([value for key, value in references], v)
        return self.attend(q, k, v, transformer_options)

    def forward_reference(self, x: Tensor, rotary: Rotary, transformer_options: dict) -> tuple[Tensor, KeyValue]:
        """Tokens of a reference image x [b, n, inner] → the same shape, and their keys and values.

        They attend to each other only.
        """
        q, k, v = self.project(x, rotary)
        return self.attend(q, k, v, transformer_options), (k, v)

    def project(self, x: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of tokens x [B, n, inner], each [B, heads, n, head_dim]."""
        q, k = (self.kernels.rotate(self.norm(self.split_heads(project(x))).transpose(1, 2), rotary)
                for project in (self.to_q, self.to_k))
        return q, k, self.split_heads(self.to_v(x)).transpose(1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, transformer_options: dict) -> Tensor:
        """q [B, heads, n, head_dim], k and v [B, heads, m, head_dim] → [B, n, inner]."""
        return self.to_out[0](self.kernels.attend(q, k, v, self.heads, transformer_options))

    def split_heads(self, y: Tensor) -> Tensor:
        """[B, n, inner] → [B, n, heads, head_dim]."""
        return y.unflatten(-1, (self.heads, -1))


class Modulation(NamedTuple):
    """How time and size change a sub-layer, each [B, 1, inner].

    Its input is scaled and shifted (``modulate``), its output multiplied by the gate.
    """

    shift: Tensor
    scale: Tensor
    gate: Tensor


class BlockModulation(NamedTuple):
    """The modulation of a block for one kind of token, text or image."""

    attention: Modulation
    feed_forward: Modulation


class ModulationProjection(nn.Module):
    def __init__(self, time_dim: int, inner: int, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.linear = operations.Linear(time_dim, 12 * inner, device=device, dtype=dtype)

    def forward(self, temb: Tensor) -> tuple[BlockModulation, BlockModulation]:
        """temb [B, time_dim] → the modulation of image tokens, and that of text tokens."""
        parts = self.linear(temb)[:, None].chunk(12, dim=-1)  # image and text alternate
        image, text = parts[0::2], parts[1::2]
        return (BlockModulation(Modulation(*image[:3]), Modulation(*image[3:])),
                BlockModulation(Modulation(*text[:3]), Modulation(*text[3:])))


class Block(nn.Module):
    def __init__(self, inner: int, heads: int, time_dim: int, kernels: Kernels, device=None, dtype=None,
                 operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.norm1 = ModulationProjection(time_dim, inner, **kw)
        self.norm = operations.LayerNorm(inner, eps=EPS, elementwise_affine=False, device=device, dtype=dtype)
        self.attn1 = Attention(inner, heads, kernels, **kw)
        self.ff = FeedForward(inner, 4 * inner, inner, gelu_tanh, **kw)

    def forward(self, img: Tensor, txt: Tensor, temb: Tensor, rotary: Rotary, transformer_options: dict,
                references: Sequence[KeyValue] = ()) -> tuple[Tensor, Tensor]:
        """Image tokens [B, n, inner] and text tokens [B, text_len, inner] → both after this block.

        temb: [B, time_dim]. rotary: of text and image tokens together. references: keys and values of this block, one
        pair for each reference image.
        """
        text_len = txt.shape[1]
        for_img, for_txt = self.norm1(temb)
        # one pass for text and image reads the weights once; x is reused so that the previous tensor can be freed
        x = torch.cat((self.modulated(txt, for_txt.attention), self.modulated(img, for_img.attention)), dim=1)
        x = self.attn1(x, rotary, transformer_options, references)
        img = torch.addcmul(img, for_img.attention.gate, x[:, text_len:])
        txt = torch.addcmul(txt, for_txt.attention.gate, x[:, :text_len])
        x = torch.cat((self.modulated(txt, for_txt.feed_forward), self.modulated(img, for_img.feed_forward)), dim=1)
        x = self.ff(x)
        return (torch.addcmul(img, for_img.feed_forward.gate, x[:, text_len:]),
                torch.addcmul(txt, for_txt.feed_forward.gate, x[:, :text_len]))

    def forward_reference(self, img: Tensor, temb: Tensor, rotary: Rotary,
                          transformer_options: dict) -> tuple[Tensor, KeyValue]:
        """Tokens of a reference image [b, n, inner], without text → the same after this block, and its keys and values.

        temb: [b, time_dim]. See ``GLMImageDiT.reference_keys_values``.
        """
        for_img, _ = self.norm1(temb)
        x = self.modulated(img, for_img.attention)
        x, keys_values = self.attn1.forward_reference(x, rotary, transformer_options)
        img = torch.addcmul(img, for_img.attention.gate, x)
        x = self.modulated(img, for_img.feed_forward)
        x = self.ff(x)
        return torch.addcmul(img, for_img.feed_forward.gate, x), keys_values

    def modulated(self, x: Tensor, modulation: Modulation) -> Tensor:
        """Tokens x [B, n, inner], normalised and modulated, as a sub-layer takes them."""
        return modulate(self.norm(x), modulation.shift, modulation.scale)


class FinalModulation(nn.Module):
    def __init__(self, time_dim: int, inner: int, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.norm = operations.LayerNorm(inner, eps=EPS, elementwise_affine=False, device=device, dtype=dtype)
        self.linear = operations.Linear(time_dim, 2 * inner, device=device, dtype=dtype)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """x [B, n, inner], temb [B, time_dim] → [B, n, inner]."""
        scale, shift = self.linear(temb)[:, None].chunk(2, dim=-1)  # scale first, unlike in the blocks
        return modulate(self.norm(x), shift, scale)
