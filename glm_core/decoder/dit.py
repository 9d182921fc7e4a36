"""The diffusion transformer: 30 blocks over glyph and picture tokens, every block modulated by time and size.

Arithmetic and parameter names follow diffusers' ``transformer_glm_image.py``, so that the released shards load as they
are and LoRA keys map by prefix. The network never sees the prompt, only its quoted texts and the plan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import read_config
from ..geometry import LATENT_PIXELS
from ..plans import DROPPED
from .latents import LATENTS_MEAN, LATENTS_STD

EPS = 1e-5
KeyValue = tuple[Tensor, Tensor]  # of one layer, each [b, heads, n, d], normalised and rotated
ROTARY_BASE = 10000
STREAMS_IN_MEMORY = 11  # at most at once, each [B, n, inner]; in the feed-forward, whose hidden layer counts for four


@dataclass(frozen=True)
class DiTConfig:
    """Values of transformer/config.json, and the latent statistics of vae/config.json."""

    num_layers: int
    num_attention_heads: int
    attention_head_dim: int
    text_embed_dim: int
    time_embed_dim: int
    condition_dim: int
    prior_vq_quantizer_codebook_size: int
    patch_size: int = 2
    in_channels: int = 16
    out_channels: int = 16
    latents_mean: tuple[float, ...] = LATENTS_MEAN
    latents_std: tuple[float, ...] = LATENTS_STD

    @property
    def inner(self) -> int:
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def from_json(cls, config: dict, source: str) -> DiTConfig:
        return read_config(cls, config, source)


def sdpa(q: Tensor, k: Tensor, v: Tensor, heads: int, transformer_options: dict) -> Tensor:
    """Attention of [B, heads, n, d] → [B, n, heads * d]; a host puts its own in its place."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def sinusoid(values: Tensor, dim: int) -> Tensor:
    """[n] → float32 [n, dim]: cosines, then sines."""
    half = dim // 2
    frequency = torch.exp(-math.log(10000) * torch.arange(half, device=values.device, dtype=torch.float32) / half)
    angle = values.float()[:, None] * frequency
    return torch.cat((angle.cos(), angle.sin()), dim=-1)


def rotary_table(rows: int, columns: int, head_dim: int, device) -> tuple[Tensor, Tensor]:
    """Cosines and sines, float32 [rows * columns, head_dim / 2]: half the angles turn with the row, half with the column."""
    half = head_dim // 2
    frequency = 1 / ROTARY_BASE ** (torch.arange(0, half, 2, device=device, dtype=torch.float32) / half)
    by_row = torch.outer(torch.arange(rows, device=device, dtype=torch.float32), frequency)
    by_column = torch.outer(torch.arange(columns, device=device, dtype=torch.float32), frequency)
    angles = torch.cat((by_row[:, None].expand(-1, columns, -1), by_column[None].expand(rows, -1, -1)), dim=-1).flatten(0, 1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turn x [B, heads, n, d] in float32; pairs are half-split, i with i + d / 2."""
    cos, sin = rotary
    a, b = x.chunk(2, dim=-1)  # products with the float32 tables are float32
    return torch.cat(((a * cos - b * sin).to(x.dtype), (b * cos + a * sin).to(x.dtype)), dim=-1)


def match_batch(reference: Tensor, own: Tensor) -> Tensor:
    """A reference's keys or values for every item: one is shared, several repeat in order. They may be kept on the CPU."""
    reference, batch = reference.to(own.device, own.dtype), own.shape[0]
    return reference.expand(batch, -1, -1, -1) if len(reference) == 1 else reference.repeat(batch // len(reference), 1, 1, 1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift


class TimestepEmbedding(nn.Module):
    def __init__(self, in_dim: int, out_dim: int, device=None, dtype=None, operations=None):
        super().__init__()
        self.linear_1 = operations.Linear(in_dim, out_dim, device=device, dtype=dtype)
        self.linear_2 = operations.Linear(out_dim, out_dim, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class TimeSizeEmbedding(nn.Module):
    def __init__(self, config: DiTConfig, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.time_dim, self.condition_dim = config.time_embed_dim, config.condition_dim
        self.timestep_embedder = TimestepEmbedding(config.time_embed_dim, config.time_embed_dim, **kw)
        self.condition_embedder = TimestepEmbedding(4 * config.condition_dim, config.time_embed_dim, **kw)

    def forward(self, timestep: Tensor, target_size: Tensor, dtype) -> Tensor:
        """timestep [B], target_size [B, 2] as height and width in pixels → [B, time_embed_dim].

        The condition is crop top, crop left, height, width; the crop is always 0.
        """
        condition = torch.cat((torch.zeros_like(target_size), target_size), dim=1)
        condition = sinusoid(condition.flatten(), self.condition_dim).view(len(target_size), -1)
        time = self.timestep_embedder(sinusoid(timestep, self.time_dim).to(dtype))
        return F.silu(time + self.condition_embedder(condition.to(dtype)))


class Activation(nn.Module):
    """First half of diffusers' FeedForward: a linear layer and what follows it."""

    def __init__(self, in_dim: int, out_dim: int, activation, device=None, dtype=None, operations=None):
        super().__init__()
        self.proj = operations.Linear(in_dim, out_dim, device=device, dtype=dtype)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.proj(x))


class FeedForward(nn.Module):
    def __init__(self, in_dim: int, inner: int, out_dim: int, activation, device=None, dtype=None, operations=None):
        super().__init__()
        self.net = nn.Sequential(
            Activation(in_dim, inner, activation, device, dtype, operations),
            nn.Identity(),  # dropout in training
            operations.Linear(inner, out_dim, device=device, dtype=dtype),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


class Attention(nn.Module):
    """One set of projections for glyphs and picture; only the picture has positions."""

    def __init__(self, config: DiTConfig, attention, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype}
        self.heads, self.attention = config.num_attention_heads, attention
        self.to_q, self.to_k, self.to_v = (operations.Linear(config.inner, config.inner, **kw) for _ in range(3))
        self.to_out = nn.ModuleList([operations.Linear(config.inner, config.inner, **kw)])
        self.norm = operations.LayerNorm(config.attention_head_dim, eps=EPS, elementwise_affine=False, **kw)

    def forward(self, x: Tensor, n: int, rotary: tuple[Tensor, Tensor], transformer_options: dict,
                references: Sequence[KeyValue] = (), kept: list[KeyValue] | None = None) -> Tensor:
        """x: n tokens of text, then the picture's, [B, n + m, inner] → the same shape.

        References are seen but do not see: their keys and values stand before those of text and picture.
        """
        q, k = (self.placed(self.to_heads(proj(x)), n, rotary) for proj in (self.to_q, self.to_k))
        v = self.to_heads(self.to_v(x))
        if kept is not None:
            kept.append((k, v))
        if references:
            k, v = (torch.cat([*(match_batch(part, own) for part in parts), own], dim=2)
                    for parts, own in zip(zip(*references), (k, v)))
        return self.to_out[0](self.attention(q, k, v, self.heads, transformer_options))

    def to_heads(self, y: Tensor) -> Tensor:
        return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def placed(self, y: Tensor, n: int, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Queries or keys, normalised and turned to their positions. One after the other, so that less is in memory at once."""
        y = self.norm(y)
        return torch.cat((y[:, :, :n], rotate(y[:, :, n:], rotary)), dim=2)


class Modulation(nn.Module):
    """The 12 shifts, scales and gates of a block, from the time and size embedding."""

    def __init__(self, config: DiTConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.linear = operations.Linear(config.time_embed_dim, 12 * config.inner, device=device, dtype=dtype)

    def forward(self, temb: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """shift, scale, gate before attention and the same before the feed-forward: for the picture, for the text."""
        parts = self.linear(temb)[:, None].chunk(12, dim=-1)
        return parts[0::2], parts[1::2]


class Block(nn.Module):
    def __init__(self, config: DiTConfig, attention, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.norm1 = Modulation(config, **kw)
        self.norm = operations.LayerNorm(config.inner, eps=EPS, elementwise_affine=False, device=device, dtype=dtype)
        self.attn1 = Attention(config, attention, **kw)
        self.ff = FeedForward(config.inner, 4 * config.inner, config.inner, gelu_tanh, **kw)

    def forward(self, img: Tensor, txt: Tensor, temb: Tensor, rotary: tuple[Tensor, Tensor], transformer_options: dict,
                references: Sequence[KeyValue] = (), kept: list[KeyValue] | None = None):
        for_img, for_txt = self.norm1(temb)
        shift, scale, gate, ff_shift, ff_scale, ff_gate = for_img
        c_shift, c_scale, c_gate, c_ff_shift, c_ff_scale, c_ff_gate = for_txt

        # one pass for text and picture, so that the weights are read once; one name for what passes, so that no more is in memory
        n = txt.shape[1]
        x = torch.cat((modulate(self.norm(txt), c_shift, c_scale), modulate(self.norm(img), shift, scale)), dim=1)
        x = self.attn1(x, n, rotary, transformer_options, references, kept)
        img, txt = img + gate * x[:, n:], txt + c_gate * x[:, :n]
        x = torch.cat((modulate(self.norm(txt), c_ff_shift, c_ff_scale), modulate(self.norm(img), ff_shift, ff_scale)), dim=1)
        x = self.ff(x)
        return img + ff_gate * x[:, n:], txt + c_ff_gate * x[:, :n]


class FinalModulation(nn.Module):
    def __init__(self, config: DiTConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.norm = operations.LayerNorm(config.inner, eps=EPS, elementwise_affine=False, device=device, dtype=dtype)
        self.linear = operations.Linear(config.time_embed_dim, 2 * config.inner, device=device, dtype=dtype)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        scale, shift = self.linear(temb)[:, None].chunk(2, dim=-1)  # scale first, unlike in the blocks
        return modulate(self.norm(x), shift, scale)


class ImageProjector(nn.Module):
    def __init__(self, config: DiTConfig, device=None, dtype=None, operations=None):
        super().__init__()
        self.proj = operations.Linear(config.in_channels * config.patch_size**2, config.inner, device=device, dtype=dtype)


class GLMImageDiT(nn.Module):
    """``attention(q, k, v, heads, transformer_options)`` is the host's choice; see ``sdpa`` for its shapes."""

    def __init__(self, config: DiTConfig, attention=sdpa, device=None, dtype=None, operations=None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.config, self.dtype = config, dtype
        self.image_projector = ImageProjector(config, **kw)
        self.glyph_projector = FeedForward(config.text_embed_dim, config.inner, config.inner, F.gelu, **kw)
        self.prior_token_embedding = operations.Embedding(config.prior_vq_quantizer_codebook_size, config.inner,
                                                          device=device, dtype=dtype)
        self.prior_projector = FeedForward(config.inner, config.inner, config.inner, F.silu, **kw)
        self.time_condition_embed = TimeSizeEmbedding(config, **kw)
        self.transformer_blocks = nn.ModuleList(Block(config, attention, **kw) for _ in range(config.num_layers))
        self.norm_out = FinalModulation(config, **kw)
        self.proj_out = operations.Linear(config.inner, config.patch_size**2 * config.out_channels, device=device, dtype=dtype)

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor, prior: Tensor | None = None, target_size: Tensor | None = None,
                transformer_options: dict = {}, references: Sequence[Sequence[KeyValue]] = ()) -> Tensor:
        """Velocity [B, 16, h, w] for latents x of that shape (normalised, h = H/8, w = W/8).

        timestep: [B], see ``network_timestep``. context: glyph embeddings [B, n, text_embed_dim].
        prior: token ids per latent pixel, int64 [B, 1, h, w], DROPPED (-1) for no plan; None drops all of it.
        target_size: height and width of the whole picture in pixels, [B or 1, 2]; None takes the latent's own.
        references: for each reference picture what ``reference_keys_values`` gave.
        """
        batch, _, height, width = x.shape
        txt = self.glyph_projector(context)
        temb = self.embed_time(timestep, x, target_size)
        img = self.run_blocks(x, prior, txt, temb, transformer_options, references)
        return self.unpatchify(self.proj_out(self.norm_out(img, temb)), height, width)

    def reference_keys_values(self, x: Tensor, prior: Tensor, transformer_options: dict = {}) -> Iterator[KeyValue]:
        """Keys and values of a reference picture, layer by layer, so that the caller may move each as it comes.

        x: its latent [b, 16, h, w], normalised; prior: its own tokens per latent pixel [b, 1, h, w].
        It runs alone, without text, at timestep 0 (not -1) and its own size: what it gives depends on neither prompt,
        seed nor target (diffusers, GlmImagePipeline step 6: the cache mode "write").
        """
        img, rotary = self.embed(x, prior)
        txt = img[:, :0]
        temb = self.embed_time(torch.zeros(len(x), device=x.device), x, None)
        for block in self.transformer_blocks:
            kept = []
            img, txt = block(img, txt, temb, rotary, transformer_options, kept=kept)
            yield kept[0]

    def embed(self, x: Tensor, prior: Tensor | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Picture tokens [B, n, inner] with their plan added, and their rotary table; positions start at 0 for every picture."""
        if prior is None:
            prior = torch.full((1, 1, *x.shape[2:]), DROPPED, device=x.device)
        p = self.config.patch_size
        pad = (0, -x.shape[3] % p, 0, -x.shape[2] % p)
        x, prior = F.pad(x, pad, mode="replicate"), F.pad(prior, pad, value=DROPPED)
        rotary = rotary_table(x.shape[2] // p, x.shape[3] // p, self.config.attention_head_dim, x.device)
        return self.embed_image(x) + self.embed_prior(prior[:, 0, ::p, ::p].flatten(1), x.dtype), rotary

    def embed_image(self, x: Tensor) -> Tensor:
        """Patches in raster order, their features in the order channel, row, column."""
        p = self.config.patch_size
        patches = x.unflatten(3, (-1, p)).unflatten(2, (-1, p)).permute(0, 2, 4, 1, 3, 5)
        return self.image_projector.proj(patches.flatten(3).flatten(1, 2))

    def embed_prior(self, ids: Tensor, dtype) -> Tensor:
        """Dropping zeroes the embedding before the projector, whose biases remain: a constant vector, not zero."""
        embedding = self.prior_token_embedding(ids.clamp(min=0), out_dtype=dtype)
        return self.prior_projector(embedding * (ids != DROPPED)[..., None])

    def embed_time(self, timestep: Tensor, x: Tensor, target_size: Tensor | None) -> Tensor:
        if target_size is None:
            target_size = torch.tensor([[side * LATENT_PIXELS for side in x.shape[2:]]], device=x.device)
        return self.time_condition_embed(timestep, target_size.expand(len(x), 2), x.dtype)

    def unpatchify(self, img: Tensor, height: int, width: int) -> Tensor:
        """Tokens [B, n, 4 * channels] → [B, channels, height, width], without the padding."""
        p = self.config.patch_size
        rows, columns = -(-height // p), -(-width // p)
        img = img.view(len(img), rows, columns, -1, p, p).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        return img[:, :, :height, :width]

    def run_blocks(self, x: Tensor, prior: Tensor | None, txt: Tensor, temb: Tensor, transformer_options: dict, references) -> Tensor:
        img, rotary = self.embed(x, prior)
        replace = transformer_options.get("patches_replace", {}).get("dit", {})
        for i, block in enumerate(self.transformer_blocks):
            options = {**transformer_options, "block_type": "double", "block_index": i,
                       "total_blocks": len(self.transformer_blocks)}
            of_layer = [reference[i] for reference in references]
            if ("double_block", i) in replace:
                img, txt = self.replaced_block(replace[("double_block", i)], block, img, txt, temb, rotary, options, of_layer)
            else:
                img, txt = block(img, txt, temb, rotary, options, of_layer)
        return img

    @staticmethod
    def replaced_block(patch, block: Block, img: Tensor, txt: Tensor, temb: Tensor, rotary, options: dict, references):
        """Hand the block to a host's patch, with the argument names of ComfyUI's two-stream models."""

        def original(args: dict) -> dict:
            img, txt = block(args["img"], args["txt"], args["vec"], args["pe"], args["transformer_options"], references)
            return {"img": img, "txt": txt}

        args = {"img": img, "txt": txt, "vec": temb, "pe": rotary, "transformer_options": options}
        out = patch(args, {"original_block": original})
        return out["img"], out["txt"]
