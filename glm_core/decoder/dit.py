"""The diffusion transformer: 30 blocks over text and image tokens, each modulated by timestep and image size.

Arithmetic and parameter names follow diffusers' ``transformer_glm_image.py``, so that the released shards load as they
are and LoRA keys map by prefix. The network never sees the prompt, only the plan and embeddings of the quoted texts.
Shapes are named as in ``layers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import check_latent_statistics, read_config
from ..geometry import LATENT_PIXELS
from ..plans import DROPPED
from .latents import LATENTS_MEAN, LATENTS_STD
from .layers import (
    Block,
    FeedForward,
    FinalModulation,
    Kernels,
    KeyValue,
    Rotary,
    TimestepEmbedding,
    rotary_table,
    sinusoid,
)

PEAK_ACTIVATIONS = 11  # in tensors of [B, n, inner]; reached in the feed-forward, whose hidden layer is four of them


@dataclass(frozen=True)
class DiTConfig:
    """Values of transformer/config.json, and of vae/config.json what concerns latents."""

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
    latents_rgb: tuple[float, ...] | None = None

    @property
    def inner(self) -> int:
        """Width of the tokens."""
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def from_json(cls, config: dict, source: str) -> DiTConfig:
        result = read_config(cls, config, source)
        check_latent_statistics(result, result.out_channels, source)
        return result


class TimeSizeEmbedding(nn.Module):
    def __init__(self, time_dim: int, condition_dim: int, device=None, dtype=None, operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        self.time_dim, self.condition_dim = time_dim, condition_dim
        self.timestep_embedder = TimestepEmbedding(time_dim, time_dim, **kw)
        self.condition_embedder = TimestepEmbedding(4 * condition_dim, time_dim, **kw)

    def forward(self, timestep: Tensor, target_size: Tensor, dtype: torch.dtype) -> Tensor:
        """timestep [B], target_size [B, 2] as height and width in pixels → [B, time_dim].

        The condition is crop top, crop left, height, width; the crop is always 0.
        """
        condition = torch.cat((torch.zeros_like(target_size), target_size), dim=1)
        condition = sinusoid(condition.flatten(), self.condition_dim).view(len(target_size), -1)
        time = self.timestep_embedder(sinusoid(timestep, self.time_dim).to(dtype))
        return F.silu(time + self.condition_embedder(condition.to(dtype)))


class ImageProjector(nn.Module):
    def __init__(self, in_dim: int, inner: int, device=None, dtype=None, operations: Any = None):
        super().__init__()
        self.proj = operations.Linear(in_dim, inner, device=device, dtype=dtype)


class GLMImageDiT(nn.Module):
    """The diffusion transformer. kernels: how it attends and rotates, which a host may choose."""

    def __init__(self, config: DiTConfig, kernels: Kernels = Kernels(), device=None, dtype=None,
                 operations: Any = None):
        super().__init__()
        kw = {"device": device, "dtype": dtype, "operations": operations}
        inner, heads, time_dim = config.inner, config.num_attention_heads, config.time_embed_dim
        patch = config.patch_size**2
        self.config, self.dtype = config, dtype
        self.image_projector = ImageProjector(config.in_channels * patch, inner, **kw)
        self.glyph_projector = FeedForward(config.text_embed_dim, inner, inner, F.gelu, **kw)
        self.prior_token_embedding = operations.Embedding(config.prior_vq_quantizer_codebook_size, inner,
                                                          device=device, dtype=dtype)
        self.prior_projector = FeedForward(inner, inner, inner, F.silu, **kw)
        self.time_condition_embed = TimeSizeEmbedding(time_dim, config.condition_dim, **kw)
        self.transformer_blocks = nn.ModuleList(Block(inner, heads, time_dim, kernels, **kw)
                                                for _ in range(config.num_layers))
        self.norm_out = FinalModulation(time_dim, inner, **kw)
        self.proj_out = operations.Linear(inner, patch * config.out_channels, device=device, dtype=dtype)

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor, prior: Tensor | None = None,
                target_size: Tensor | None = None, transformer_options: dict = {},
                references: Sequence[Sequence[KeyValue]] = ()) -> Tensor:
        """Velocity [B, 16, h, w] for latents x of that shape (normalised, h = H/8, w = W/8).

        timestep: [B], see ``network_timestep``. context: glyph embeddings [B, text_len, text_embed_dim].
        prior: token ids per latent pixel, int64 [B, 1, h, w], DROPPED (-1) where there is no plan; None for no plan.
        target_size: height and width of the whole image in pixels, [B or 1, 2]; None takes the latent's own.
        references: what ``reference_keys_values`` gave for each reference image.
        """
        batch, _, height, width = x.shape
        txt = self.glyph_projector(context)
        temb = self.embed_time(timestep, x, target_size)
        img = self.run_blocks(x, prior, txt, temb, transformer_options, references)
        return self.unpatchify(self.proj_out(self.norm_out(img, temb)), height, width)

    def reference_keys_values(self, x: Tensor, prior: Tensor, transformer_options: dict = {}) -> Iterator[KeyValue]:
        """Keys and values of a reference image, block by block, so that the caller can move each pair at once.

        x: its latent [b, 16, h, w], normalised. prior: its own tokens per latent pixel, [b, 1, h, w].
        The image runs through the network alone, without text, at timestep 0 (not -1) and at its own size. So the
        result does not depend on prompt, seed or target. Source: diffusers, GlmImagePipeline step 6, mode "write".
        """
        img, rotary = self.embed(x, prior)
        temb = self.embed_time(torch.zeros(len(x), device=x.device), x, None)
        for block in cast(Sequence[Block], self.transformer_blocks):
            img, keys_values = block.forward_reference(img, temb, rotary, transformer_options)
            yield keys_values

    def embed(self, x: Tensor, prior: Tensor | None, text_len: int = 0) -> tuple[Tensor, Rotary]:
        """Image tokens [B, n, inner] with the plan added, and the rotary table of ``text_len`` text tokens and these.

        x, prior: as in ``forward``. The positions of every image start at 0.
        """
        if prior is None:
            prior = torch.full((1, 1, *x.shape[2:]), DROPPED, device=x.device)
        p = self.config.patch_size
        pad = (0, -x.shape[3] % p, 0, -x.shape[2] % p)
        x, prior = F.pad(x, pad, mode="replicate"), F.pad(prior, pad, value=DROPPED)
        rotary = rotary_table(x.shape[2] // p, x.shape[3] // p, self.config.attention_head_dim, x.device,
                              text_len)
        return self.embed_image(x) + self.embed_prior(prior[:, 0, ::p, ::p].flatten(1), x.dtype), rotary

    def embed_image(self, x: Tensor) -> Tensor:
        """Latents [B, 16, h, w] → patches [B, n, inner] in raster order; features go by channel, row, column."""
        p = self.config.patch_size
        patches = x.unflatten(3, (-1, p)).unflatten(2, (-1, p)).permute(0, 2, 4, 1, 3, 5)
        return self.image_projector.proj(patches.flatten(3).flatten(1, 2))

    def embed_prior(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        """Token ids [B, n], DROPPED for no plan → [B, n, inner].

        Dropping zeroes the embedding before the projector. Its biases remain, so the result is a constant, not zero.
        """
        embedding = self.prior_token_embedding(ids.clamp(min=0), out_dtype=dtype)
        return self.prior_projector(embedding * (ids != DROPPED)[..., None])

    def embed_time(self, timestep: Tensor, x: Tensor, target_size: Tensor | None) -> Tensor:
        """timestep [B], latents x [B, 16, h, w], target_size [B or 1, 2] as in ``forward`` → [B, time_embed_dim]."""
        if target_size is None:
            target_size = torch.tensor([[side * LATENT_PIXELS for side in x.shape[2:]]], device=x.device)
        return self.time_condition_embed(timestep, target_size.expand(len(x), 2), x.dtype)

    def unpatchify(self, img: Tensor, height: int, width: int) -> Tensor:
        """Tokens [B, n, patch area * channels] → [B, channels, height, width] in latent pixels, without the padding."""
        p = self.config.patch_size
        rows, columns = -(-height // p), -(-width // p)
        img = img.view(len(img), rows, columns, -1, p, p).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        return img[:, :, :height, :width]

    def run_blocks(self, x: Tensor, prior: Tensor | None, txt: Tensor, temb: Tensor, transformer_options: dict,
                   references: Sequence[Sequence[KeyValue]]) -> Tensor:
        """Image tokens [B, n, inner] after all blocks. x, prior, references: as in ``forward``.

        txt: text tokens [B, text_len, inner]. temb: [B, time_embed_dim].
        """
        img, rotary = self.embed(x, prior, txt.shape[1])
        replace = transformer_options.get("patches_replace", {}).get("dit", {})
        for i, block in enumerate(self.transformer_blocks):
            options = {**transformer_options, "block_type": "double", "block_index": i,
                       "total_blocks": len(self.transformer_blocks)}
            layer_kv = [reference[i] for reference in references]
            patch = replace.get(("double_block", i))
            if patch is None:
                img, txt = block(img, txt, temb, rotary, options, layer_kv)
            else:
                img, txt = self.replaced_block(patch, block, img, txt, temb, rotary, options, layer_kv)
        return img

    @staticmethod
    def replaced_block(patch: Callable[[dict, dict], dict], block: nn.Module, img: Tensor, txt: Tensor, temb: Tensor,
                       rotary: Rotary, options: dict, layer_kv: Sequence[KeyValue]) -> tuple[Tensor, Tensor]:
        """Call a host's patch instead of the block, with the argument names of ComfyUI's two-stream models.

        Shapes are those of ``Block.forward``. The patch may call the block itself, as "original_block".
        """

        def original(args: dict) -> dict:
            img, txt = block(args["img"], args["txt"], args["vec"], args["pe"], args["transformer_options"], layer_kv)
            return {"img": img, "txt": txt}

        args = {"img": img, "txt": txt, "vec": temb, "pe": rotary, "transformer_options": options}
        out = patch(args, {"original_block": original})
        return out["img"], out["txt"]
