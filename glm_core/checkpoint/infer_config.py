"""Config from tensor shapes, for files that store none. Values that shapes do not show are the released model's."""

from collections.abc import Callable

from torch import Tensor

from ..errors import GLMImageError
from .parts import DIFFUSION, GLYPH, PLANNER, VAE, VISION, Part

HEAD_SIZE = 128
VISION_HEAD_SIZE = 96
CODEBOOK_SIZE = 16384
PATCH_AREA = 4  # of the diffusion model's patches, in latent pixels
SIZE_EMBEDDINGS = 4  # for target height and width, and crop top and left
MROPE_SECTION = [8, 12, 12]


def config_from_shapes(part: Part, tensors: dict[str, Tensor], source: str) -> dict:
    """The part's config in the form of its config.json. Raises GLMImageError if a tensor that it needs is missing."""
    try:
        return RULES[part](tensors)
    except KeyError as error:
        raise GLMImageError(f"{source}: missing tensors: {error.args[0]}") from error


def count(tensors: dict[str, Tensor], pattern: str) -> int:
    """How many tensors are named ``pattern`` with 0, 1, 2 … in its braces, up to the first gap."""
    n = 0
    while pattern.format(n) in tensors:
        n += 1
    return n


def planner_config(t: dict[str, Tensor]) -> dict:
    layers = "language_model.layers."
    vocabulary, hidden = t["language_model.embed_tokens.weight"].shape
    vision = vision_config(t)
    codebook = vision["vq_config"]["num_embeddings"]
    return {
        "image_start_token_id": codebook,  # the first two ids after the codebook
        "image_end_token_id": codebook + 1,
        **vision,
        "text_config": {
            "hidden_size": hidden,
            "vocab_size": vocabulary,
            "vision_vocab_size": t["lm_head.weight"].shape[0],
            "num_hidden_layers": count(t, layers + "{}.input_layernorm.weight"),
            "num_attention_heads": t[layers + "0.self_attn.q_proj.weight"].shape[0] // HEAD_SIZE,
            "num_key_value_heads": t[layers + "0.self_attn.k_proj.weight"].shape[0] // HEAD_SIZE,
            "head_dim": HEAD_SIZE,
            "intermediate_size": t[layers + "0.mlp.gate_up_proj.weight"].shape[0] // 2,
            "rope_parameters": {"mrope_section": MROPE_SECTION},
        },
    }


def vision_config(t: dict[str, Tensor]) -> dict:
    """The vision tower's part of the planner's config; without a vision tower, only the codebook's size."""
    if VISION.signature not in t:
        return {"vq_config": {"num_embeddings": CODEBOOK_SIZE}}
    codebook_size, width = t[VISION.signature].shape
    hidden = t["visual.patch_embed.proj.weight"].shape[0]
    return {
        "vq_config": {"num_embeddings": codebook_size, "embed_dim": width},
        "vision_config": {
            "hidden_size": hidden,
            "depth": count(t, "visual.blocks.{}.attn.qkv.weight"),
            "num_heads": hidden // VISION_HEAD_SIZE,
            "intermediate_size": t["visual.blocks.0.mlp.fc1.weight"].shape[0],
        },
    }


def diffusion_config(t: dict[str, Tensor]) -> dict:
    embedders = "time_condition_embed."
    return {
        "num_layers": count(t, "transformer_blocks.{}.attn1.to_q.weight"),
        "num_attention_heads": t["transformer_blocks.0.attn1.to_q.weight"].shape[0] // HEAD_SIZE,
        "attention_head_dim": HEAD_SIZE,
        "text_embed_dim": t["glyph_projector.net.0.proj.weight"].shape[1],
        "time_embed_dim": t[embedders + "timestep_embedder.linear_1.weight"].shape[0],
        "condition_dim": t[embedders + "condition_embedder.linear_1.weight"].shape[1] // SIZE_EMBEDDINGS,
        "prior_vq_quantizer_codebook_size": t["prior_token_embedding.weight"].shape[0],
        "in_channels": t["image_projector.proj.weight"].shape[1] // PATCH_AREA,
        "out_channels": t["proj_out.weight"].shape[0] // PATCH_AREA,
    }


def glyph_config(t: dict[str, Tensor]) -> dict:
    attention = "encoder.block.0.layer.0.SelfAttention."
    vocabulary, width = t["shared.weight"].shape
    buckets, heads = t[attention + "relative_attention_bias.weight"].shape
    return {
        "d_model": width,
        "vocab_size": vocabulary,
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "d_kv": t[attention + "q.weight"].shape[0] // heads,
        "d_ff": t["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"].shape[0],
        "num_layers": count(t, "encoder.block.{}.layer.0.layer_norm.weight"),
    }


def vae_config(t: dict[str, Tensor]) -> dict:
    first_conv = "encoder.down_blocks.{}.resnets.0.conv1.weight"
    blocks = range(count(t, first_conv))
    return {
        "block_out_channels": [t[first_conv.format(i)].shape[0] for i in blocks],
        "layers_per_block": count(t, "encoder.down_blocks.0.resnets.{}.conv1.weight"),
        "latent_channels": t["decoder.conv_in.weight"].shape[1],
    }


RULES: dict[Part, Callable[[dict[str, Tensor]], dict]] = {
    PLANNER: planner_config,
    VISION: planner_config,
    DIFFUSION: diffusion_config,
    GLYPH: glyph_config,
    VAE: vae_config,
}
