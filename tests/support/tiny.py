"""Tiny random checkpoints in the released layout: ``python -m tests.tiny OUT [--seed N]``.

The folder has everything that transformers and diffusers want to load it, the vision tower included, so that the
reference and this pack read the very same files.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from glm_core import ops
from glm_core.checkpoint.write import MODEL_INDEX, write_json
from glm_core.decoder import LATENTS_MEAN, LATENTS_STD, AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig
from glm_core.glyph import GlyphConfig, GlyphEncoder
from glm_core.planner import PlannerConfig, PlannerModel
from glm_core.vision import SemanticVQ, VisionConfig

VISUAL_IDS = 16512
CONTROLS = {"<|endoftext|>": 167841, "<sop>": 167845, "<eop>": 167846, "<|image|>": 167855}
VISUAL_CONTROLS = {"<|dit_token_16384|>": 16384, "<|dit_token_16385|>": 16385}
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "a"), ("i", "n"), ("3", "2"), ("Ġ", "the")]


@dataclass(frozen=True)
class Tiny:
    """Sizes of a tiny model; what the checkpoint fixes (vocabulary, codebook, channels) is not here."""

    seed: int = 0
    planner_layers: int = 2
    planner_hidden: int = 64
    planner_heads: int = 4
    planner_kv_heads: int = 2
    mrope_section: tuple[int, int, int] = (1, 1, 2)
    vision_width: int = 32
    vision_heads: int = 2
    dit_layers: int = 2
    dit_heads: int = 2
    dit_head_dim: int = 16
    glyph_layers: int = 2
    glyph_width: int = 48
    glyph_heads: int = 3
    vae_blocks: tuple[int, ...] = (32, 32, 64, 64)
    vae_layers: int = 1

    def planner(self) -> dict:
        return {
            "architectures": ["GlmImageForConditionalGeneration"],
            "model_type": "glm_image",
            "image_start_token_id": 16384,
            "image_end_token_id": 16385,
            "image_token_id": 167855,
            "text_config": {
                "model_type": "glm_image_text",
                "hidden_size": self.planner_hidden,
                "num_hidden_layers": self.planner_layers,
                "num_attention_heads": self.planner_heads,
                "num_key_value_heads": self.planner_kv_heads,
                "intermediate_size": 3 * self.planner_hidden,
                "vocab_size": 168064,
                "vision_vocab_size": VISUAL_IDS,
                "rms_norm_eps": 1e-5,
                "eos_token_id": 16385,
                "pad_token_id": 167841,
                "max_position_embeddings": 131072,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 0.5,
                                    "mrope_section": list(self.mrope_section)},
            },
            "vision_config": {"model_type": "glm_image_vision", "hidden_size": self.vision_width, "depth": 2,
                              "num_heads": self.vision_heads,
                              "intermediate_size": 64, "patch_size": 16, "image_size": 2048, "in_channels": 3,
                              "hidden_act": "gelu", "layer_norm_eps": 1e-6, "attention_bias": True, "spatial_merge_size": 1},
            "vq_config": {"model_type": "glm_image_vqmodel", "embed_dim": 16, "num_embeddings": 16384, "latent_channels": self.vision_width,
                          "in_channels": 3},
        }

    def dit(self) -> dict:
        return {
            "_class_name": "GlmImageTransformer2DModel", "patch_size": 2, "in_channels": 16, "out_channels": 16,
            "num_layers": self.dit_layers, "num_attention_heads": self.dit_heads, "attention_head_dim": self.dit_head_dim,
            "text_embed_dim": self.glyph_width, "time_embed_dim": 32, "condition_dim": 16,
            "prior_vq_quantizer_codebook_size": 16384,
        }

    def glyph(self) -> dict:
        return {
            "architectures": ["T5EncoderModel"], "model_type": "t5", "d_model": self.glyph_width, "d_ff": 2 * self.glyph_width,
            "d_kv": 8, "num_heads": self.glyph_heads, "num_layers": self.glyph_layers, "vocab_size": 384,
            "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 32, "layer_norm_epsilon": 1e-6,
            "is_encoder_decoder": False,
        }

    def vae(self) -> dict:
        stages = len(self.vae_blocks)
        return {
            "_class_name": "AutoencoderKL", "block_out_channels": list(self.vae_blocks), "layers_per_block": self.vae_layers,
            "down_block_types": ["DownEncoderBlock2D"] * stages, "up_block_types": ["UpDecoderBlock2D"] * stages,
            "latent_channels": 16, "norm_num_groups": 16, "mid_block_add_attention": False, "use_quant_conv": False,
            "use_post_quant_conv": False, "latents_mean": list(LATENTS_MEAN), "latents_std": list(LATENTS_STD),
            "sample_size": 1024, "scaling_factor": 0.18215,
        }


SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "use_dynamic_shifting": True,
    "time_shift_type": "linear", "base_shift": 0.25, "max_shift": 0.75, "base_image_seq_len": 256, "max_image_seq_len": 4096,
    "shift": 1.0,
}
PREPROCESSOR = {
    "image_processor_type": "GlmImageImageProcessor", "processor_class": "GlmImageProcessor", "min_pixels": 262144,
    "max_pixels": 4194304, "patch_size": 16, "temporal_patch_size": 1, "merge_size": 1, "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3, "rescale_factor": 1 / 255, "resample": 3, "do_resize": True, "do_rescale": True,
    "do_normalize": True, "do_convert_rgb": True,
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast", "processor_class": "GlmImageProcessor", "padding_side": "left",
    "model_max_length": 65536, "bos_token": "<|dit_token_16384|>", "eos_token": "<|dit_token_16385|>",
    "pad_token": "<|dit_token_16385|>", "extra_special_tokens": {
        "image_token": "<|image|>", "grid_bos_token": "<sop>", "grid_eos_token": "<eop>"},
}
CHAT_TEMPLATE = (
    "{% for message in messages %}{% for item in message['content'] %}"
    "{% if item['type'] == 'image' %}<|dit_token_16384|><|image|><|dit_token_16385|>{% else %}{{ item['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
BYT5_CONFIG = {"tokenizer_class": "ByT5Tokenizer", "extra_ids": 125, "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def make_tokenizer() -> Tokenizer:
    """Byte-pair encoding with the released id layout: visual ids first, then text, then controls."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = letters + [a + b for a, b in MERGES]
    vocabulary = {f"<|dit_token_{i}|>": i for i in range(VISUAL_IDS)}
    vocabulary |= {word: VISUAL_IDS + i for i, word in enumerate(words)} | CONTROLS
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in [*VISUAL_CONTROLS, *CONTROLS]])
    return tokenizer


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Scaled so that signals keep their size and no branch is negligible."""
    noise = torch.randn(shape, generator=generator)
    if "norm" in name and name.endswith("weight") and len(shape) == 1:
        return 1 + 0.2 * noise
    if len(shape) == 1:
        return 0.2 * noise
    if name.endswith(("embedding.weight", "embed_tokens.weight", "shared.weight", "relative_attention_bias.weight")):
        return noise
    return noise / torch.tensor(shape[1:]).prod().sqrt()


def random_part(module, generator) -> dict[str, torch.Tensor]:
    return {name: random_tensor(name, tuple(tensor.shape), generator) for name, tensor in module.state_dict().items()}


def unused_vision(tiny: Tiny) -> dict[str, tuple[int, ...]]:
    """What the reference wants to find although it never uses it."""
    return {"vqmodel.post_quant_conv.weight": (tiny.vision_width, 16, 1, 1), "vqmodel.post_quant_conv.bias": (tiny.vision_width,)}


def write_shards(folder: Path, tensors: dict[str, torch.Tensor], stem: str, shards: int) -> None:
    names = sorted(tensors)
    weight_map = {}
    for i in range(shards):
        file = f"{stem}-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[i::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    write_json(folder / f"{stem}.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def write_checkpoint(folder: Path, tiny: Tiny = Tiny()) -> Path:
    """Write a random checkpoint with the sizes of ``tiny`` in the released layout, sharded like the released one."""
    generator = torch.Generator().manual_seed(tiny.seed)
    configs = {"vision_language_encoder": tiny.planner(), "transformer": tiny.dit(), "text_encoder": tiny.glyph(), "vae": tiny.vae()}
    for name, config in configs.items():
        write_json(folder / name / "config.json", config)
    write_json(folder / "model_index.json", MODEL_INDEX)
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(folder / "tokenizer" / "tokenizer_config.json", BYT5_CONFIG)
    write_json(folder / "processor" / "preprocessor_config.json", PREPROCESSOR)
    write_json(folder / "processor" / "tokenizer_config.json", TOKENIZER_CONFIG)
    (folder / "processor" / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    make_tokenizer().save(str(folder / "processor" / "tokenizer.json"))

    planner = PlannerModel(PlannerConfig.from_json(tiny.planner(), "tiny"), operations=ops)
    vision = SemanticVQ(VisionConfig.from_json(tiny.planner(), "tiny"), operations=ops)
    tensors = random_part(planner, generator) | random_part(vision, generator)
    tensors |= {name: random_tensor(name, shape, generator) for name, shape in unused_vision(tiny).items()}
    tensors = {name if name == "lm_head.weight" else f"model.{name}": tensor for name, tensor in tensors.items()}
    write_shards(folder / "vision_language_encoder", tensors, "model", 3)
    dit = GLMImageDiT(DiTConfig.from_json(tiny.dit(), "tiny"), operations=ops)
    write_shards(folder / "transformer", random_part(dit, generator), "diffusion_pytorch_model", 2)
    glyph = GlyphEncoder(GlyphConfig.from_json(tiny.glyph(), "tiny"), operations=ops)
    save_file(random_part(glyph, generator), folder / "text_encoder" / "model.safetensors", metadata={"format": "pt"})
    vae = AutoencoderKL(VAEConfig.from_json(tiny.vae(), "tiny"), operations=ops)
    save_file(random_part(vae, generator), folder / "vae" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    return folder


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    write_checkpoint(options.out, Tiny(seed=options.seed))
