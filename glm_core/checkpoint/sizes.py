"""A config against the tensors beside it, before anything of the config's sizes is made."""

from collections.abc import Callable
from math import prod
from typing import Any

from torch import Tensor

from ..errors import GLMImageError
from ..files import quote
from .parts import DIFFUSION, GLYPH, PLANNER, VAE, VISION, Part
from .shapes import count, rows, side

Told = dict[str, Any]  # path in the config, or a product of paths → its value by the tensors
TEXT = "text_config"
FOREIGN_TO_VAE = ".attentions.", "quant_conv."  # layers of other autoencoders of the same classes


def check_sizes(part: Part, config: dict, tensors: dict[str, Tensor], source: str) -> None:
    """Raise GLMImageError if a size in ``config`` is another than the tensors tell.

    What is missing or of another type is left to those who read the config.
    """
    if part is VAE:
        check_vae_layers(tensors, source)
    for path, told in RULES[part](tensors, source).items():
        given = [find(config, name) for name in path.split(" * ")]
        if all(type(value) is type(told) for value in given):
            found = prod(given) if isinstance(told, int) else given[0]
            if found != told:
                raise GLMImageError(f"{source}: its config must have {path} = {told}, as the tensors do "
                                    f"(got {' * '.join(map(quote, given))})")


def find(config: Any, path: str) -> Any:
    """The value at a path such as "text_config.hidden_size", which may also stand outside of text_config, or None."""
    folder, _, name = path.rpartition(".")
    inside = config.get(folder) if folder else config
    value = inside.get(name) if isinstance(inside, dict) else None
    return config.get(name) if value is None and folder == TEXT else value


def check_vae_layers(tensors: dict[str, Tensor], source: str) -> None:
    foreign = [name for name in tensors if any(part in name for part in FOREIGN_TO_VAE)]
    if foreign:
        raise GLMImageError(f"{source}: not a GLM-Image VAE: it has {foreign[0]}, which GLM-Image's does not have")


def planner_sizes(t: dict[str, Tensor], source: str) -> Told:
    text, layer = f"{TEXT}.", "language_model.layers.0."
    told = {
        text + "hidden_size": side(t, PLANNER.signature, 1, source),
        text + "vocab_size": rows(t, PLANNER.signature, source),
        text + "vision_vocab_size": rows(t, "lm_head.weight", source),
        text + "num_hidden_layers": count(t, "language_model.layers.{}.input_layernorm.weight"),
        text + "intermediate_size": rows(t, layer + "mlp.gate_up_proj.weight", source) // 2,
        f"{text}num_attention_heads * {text}head_dim": rows(t, layer + "self_attn.q_proj.weight", source),
        f"{text}num_key_value_heads * {text}head_dim": rows(t, layer + "self_attn.k_proj.weight", source),
    }
    return told | vision_sizes(t, source) if VISION.signature in t else told


def vision_sizes(t: dict[str, Tensor], source: str) -> Told:
    return {
        "vq_config.num_embeddings": rows(t, VISION.signature, source),
        "vq_config.embed_dim": side(t, VISION.signature, 1, source),
        "vision_config.hidden_size": rows(t, "visual.patch_embed.proj.weight", source),
        "vision_config.patch_size": side(t, "visual.patch_embed.proj.weight", 3, source),
        "vision_config.depth": count(t, "visual.blocks.{}.attn.qkv.weight"),
        "vision_config.intermediate_size": rows(t, "visual.blocks.0.mlp.fc1.weight", source),
    }


def diffusion_sizes(t: dict[str, Tensor], source: str) -> Told:
    embedders = "time_condition_embed."
    return {
        "num_layers": count(t, "transformer_blocks.{}.attn1.to_q.weight"),
        "num_attention_heads * attention_head_dim": rows(t, "transformer_blocks.0.attn1.to_q.weight", source),
        "time_embed_dim": rows(t, embedders + "timestep_embedder.linear_1.weight", source),
        "prior_vq_quantizer_codebook_size": rows(t, "prior_token_embedding.weight", source),
        "out_channels * patch_size * patch_size": rows(t, "proj_out.weight", source),
    }


def glyph_sizes(t: dict[str, Tensor], source: str) -> Told:
    first = "encoder.block.0.layer."
    bias = first + "0.SelfAttention.relative_attention_bias.weight"
    return {
        "vocab_size": rows(t, "shared.weight", source),
        "d_model": side(t, "shared.weight", 1, source),
        "num_layers": count(t, "encoder.block.{}.layer.0.layer_norm.weight"),
        "num_heads": side(t, bias, 1, source),
        "relative_attention_num_buckets": rows(t, bias, source),
        "num_heads * d_kv": rows(t, first + "0.SelfAttention.q.weight", source),
        "d_ff": rows(t, first + "1.DenseReluDense.wi_0.weight", source),
    }


def vae_sizes(t: dict[str, Tensor], source: str) -> Told:
    first_conv = "encoder.down_blocks.{}.resnets.0.conv1.weight"
    return {
        "block_out_channels": [rows(t, first_conv.format(i), source) for i in range(count(t, first_conv))],
        "layers_per_block": count(t, "encoder.down_blocks.0.resnets.{}.conv1.weight"),
        "latent_channels": side(t, "decoder.conv_in.weight", 1, source),
    }


RULES: dict[Part, Callable[[dict[str, Tensor], str], Told]] = {
    PLANNER: planner_sizes, VISION: planner_sizes, DIFFUSION: diffusion_sizes, GLYPH: glyph_sizes, VAE: vae_sizes,
}
