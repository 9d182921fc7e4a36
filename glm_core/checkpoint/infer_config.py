"""Configuration from tensor shapes, for files that carry none. What no shape tells is taken from the released model."""

from torch import Tensor

from ..errors import GLMImageError
from .parts import DIFFUSION, GLYPH, PLANNER, VAE, VISION, Part

HEAD_SIZE = 128
VISION_HEAD_SIZE = 96
CODEBOOK = 16384
MROPE_SECTION = [8, 12, 12]


def config_from_shapes(part: Part, tensors: dict[str, Tensor], source: str) -> dict:
    """A dict in the form of the part's config.json. Raises GLMImageError when a tensor that it needs is missing."""
    try:
        return RULES[part](tensors)
    except KeyError as error:
        raise GLMImageError(f"{part.title} {source}: the tensor {error} is missing") from error


def count(tensors: dict[str, Tensor], pattern: str) -> int:
    """How many consecutive i from 0 make ``pattern`` the name of a tensor."""
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
        "image_start_token_id": codebook,  # the two controls that follow the codebook
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
    """Of the planner's vision tower; a text model without one has only a codebook's size."""
    if VISION.signature not in t:
        return {"vq_config": {"num_embeddings": CODEBOOK}}
    codes, width = t[VISION.signature].shape
    hidden = t["visual.patch_embed.proj.weight"].shape[0]
    return {
        "vq_config": {"num_embeddings": codes, "embed_dim": width},
        "vision_config": {
            "hidden_size": hidden,
            "depth": count(t, "visual.blocks.{}.attn.qkv.weight"),
            "num_heads": hidden // VISION_HEAD_SIZE,
            "intermediate_size": t["visual.blocks.0.mlp.fc1.weight"].shape[0],
        },
    }


def diffusion_config(t: dict[str, Tensor]) -> dict:
    embedders = "time_condition_embed."
    patch_area = 4
    return {
        "num_layers": count(t, "transformer_blocks.{}.attn1.to_q.weight"),
        "num_attention_heads": t["transformer_blocks.0.attn1.to_q.weight"].shape[0] // HEAD_SIZE,
        "attention_head_dim": HEAD_SIZE,
        "text_embed_dim": t["glyph_projector.net.0.proj.weight"].shape[1],
        "time_embed_dim": t[embedders + "timestep_embedder.linear_1.weight"].shape[0],
        "condition_dim": t[embedders + "condition_embedder.linear_1.weight"].shape[1] // 4,
        "prior_vq_quantizer_codebook_size": t["prior_token_embedding.weight"].shape[0],
        "in_channels": t["image_projector.proj.weight"].shape[1] // patch_area,
        "out_channels": t["proj_out.weight"].shape[0] // patch_area,
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
    stages = count(t, "encoder.down_blocks.{}.resnets.0.conv1.weight")
    return {
        "block_out_channels": [t[f"encoder.down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in range(stages)],
        "layers_per_block": count(t, "encoder.down_blocks.0.resnets.{}.conv1.weight"),
        "latent_channels": t["decoder.conv_in.weight"].shape[1],
    }


RULES = {PLANNER: planner_config, VISION: planner_config, DIFFUSION: diffusion_config, GLYPH: glyph_config, VAE: vae_config}
