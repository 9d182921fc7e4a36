"""Config from tensor shapes, for files of the released model's size that store none.

Shapes do not show the size of a head, the groups of a norm or the statistics of latents, so that these are the
released model's. A file of another size must bring its config.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..errors import GLMImageError
from .parts import DIFFUSION, GLYPH, PLANNER, VAE, VISION, Part
from .shapes import count, rows, side

HEAD_SIZE = 128
VISION_HEAD_SIZE = 96
CODEBOOK_SIZE = 16384
PATCH_AREA = 4  # of the diffusion model's patches, in latent pixels
SIZE_EMBEDDINGS = 4  # for target height and width, and crop top and left
MROPE_SECTION = [8, 12, 12]
# what the values above belong to; numbers of layers are free
RELEASED_SIZES: dict[str, Any] = {
    "text_config": {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 2},
    "vision_config": {"hidden_size": 1536},
    "vq_config": {"num_embeddings": CODEBOOK_SIZE},
    "num_attention_heads": 32, "in_channels": 16, "out_channels": 16,
    "block_out_channels": [128, 512, 1024, 1024], "latent_channels": 16,
}


def config_from_shapes(part: Part, tensors: dict[str, Tensor], source: str) -> dict:
    """The part's config in the form of its config.json.

    Raises GLMImageError if a tensor that it needs is missing, or if the model is not of the released size.
    """
    config = RULES[part](tensors, source)
    if part is not GLYPH:  # whose shapes tell everything
        check_released(config, RELEASED_SIZES, source)
    return config


def check_released(config: dict, released: dict, source: str) -> None:
    for name in (name for name in released if name in config):
        if isinstance(released[name], dict):
            check_released(config[name], released[name], source)
        elif config[name] != released[name]:
            raise GLMImageError(
                f"{source}: it stores no config, and shapes tell only the released model's ({name} {released[name]}, "
                f"here {config[name]}); use a folder with config.json, or a file written by 'convert' or by ComfyUI's "
                "own saving nodes")


def planner_config(t: dict[str, Tensor], source: str) -> dict:
    layers = "language_model.layers."
    vocabulary, hidden = (side(t, "language_model.embed_tokens.weight", i, source) for i in (0, 1))
    vision = vision_config(t, source)
    codebook = vision["vq_config"]["num_embeddings"]
    return {
        "image_start_token_id": codebook,  # the first two ids after the codebook
        "image_end_token_id": codebook + 1,
        **vision,
        "text_config": {
            "hidden_size": hidden,
            "vocab_size": vocabulary,
            "vision_vocab_size": rows(t, "lm_head.weight", source),
            "num_hidden_layers": count(t, layers + "{}.input_layernorm.weight"),
            "num_attention_heads": rows(t, layers + "0.self_attn.q_proj.weight", source) // HEAD_SIZE,
            "num_key_value_heads": rows(t, layers + "0.self_attn.k_proj.weight", source) // HEAD_SIZE,
            "head_dim": HEAD_SIZE,
            "intermediate_size": rows(t, layers + "0.mlp.gate_up_proj.weight", source) // 2,
            "rope_parameters": {"mrope_section": MROPE_SECTION},
        },
    }


def vision_config(t: dict[str, Tensor], source: str) -> dict:
    """The vision tower's part of the planner's config; without a vision tower, only the codebook's size."""
    if VISION.signature not in t:
        return {"vq_config": {"num_embeddings": CODEBOOK_SIZE}}
    codebook_size, width = (side(t, VISION.signature, i, source) for i in (0, 1))
    hidden = rows(t, "visual.patch_embed.proj.weight", source)
    return {
        "vq_config": {"num_embeddings": codebook_size, "embed_dim": width},
        "vision_config": {
            "hidden_size": hidden,
            "depth": count(t, "visual.blocks.{}.attn.qkv.weight"),
            "num_heads": hidden // VISION_HEAD_SIZE,
            "intermediate_size": rows(t, "visual.blocks.0.mlp.fc1.weight", source),
        },
    }


def diffusion_config(t: dict[str, Tensor], source: str) -> dict:
    embedders = "time_condition_embed."
    return {
        "num_layers": count(t, "transformer_blocks.{}.attn1.to_q.weight"),
        "num_attention_heads": rows(t, "transformer_blocks.0.attn1.to_q.weight", source) // HEAD_SIZE,
        "attention_head_dim": HEAD_SIZE,
        "text_embed_dim": side(t, "glyph_projector.net.0.proj.weight", 1, source),
        "time_embed_dim": rows(t, embedders + "timestep_embedder.linear_1.weight", source),
        "condition_dim": side(t, embedders + "condition_embedder.linear_1.weight", 1, source) // SIZE_EMBEDDINGS,
        "prior_vq_quantizer_codebook_size": rows(t, "prior_token_embedding.weight", source),
        "in_channels": side(t, "image_projector.proj.weight", 1, source) // PATCH_AREA,
        "out_channels": rows(t, "proj_out.weight", source) // PATCH_AREA,
    }


def glyph_config(t: dict[str, Tensor], source: str) -> dict:
    attention = "encoder.block.0.layer.0.SelfAttention."
    vocabulary, width = (side(t, "shared.weight", i, source) for i in (0, 1))
    buckets, heads = (side(t, attention + "relative_attention_bias.weight", i, source) for i in (0, 1))
    return {
        "d_model": width,
        "vocab_size": vocabulary,
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "d_kv": rows(t, attention + "q.weight", source) // max(heads, 1),
        "d_ff": rows(t, "encoder.block.0.layer.1.DenseReluDense.wi_0.weight", source),
        "num_layers": count(t, "encoder.block.{}.layer.0.layer_norm.weight"),
    }


def vae_config(t: dict[str, Tensor], source: str) -> dict:
    first_conv = "encoder.down_blocks.{}.resnets.0.conv1.weight"
    blocks = range(count(t, first_conv))
    return {
        "block_out_channels": [rows(t, first_conv.format(i), source) for i in blocks],
        "layers_per_block": count(t, "encoder.down_blocks.0.resnets.{}.conv1.weight"),
        "latent_channels": side(t, "decoder.conv_in.weight", 1, source),
    }


RULES: dict[Part, Callable[[dict[str, Tensor], str], dict]] = {
    PLANNER: planner_config,
    VISION: planner_config,
    DIFFUSION: diffusion_config,
    GLYPH: glyph_config,
    VAE: vae_config,
}
