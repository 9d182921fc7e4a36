"""Tiny random checkpoints in the released layout: ``python -m tests.support.tiny OUT [--small] [--seed N]``.

There are three kinds:

- ``Tiny()`` has the released vocabulary, codebook and coarse grid. Its folder has everything that transformers and
  diffusers want to load it, the vision tower included, so that upstream and this pack read the very same files.
  Parity tests, host tests and benchmarks use it.
- ``SMALL`` has 64 codes, a coarse grid of 16 tokens, and reference images of 64 to 256 pixels, so that a plan of 64 x
  64 pixels has 20 tokens and takes milliseconds. Unit tests use it, and tests of the command line that do not need the
  released sizes.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from glm_core import ops
from glm_core.checkpoint import PLANNER
from glm_core.checkpoint.write import MODEL_INDEX, released_name, write_json
from glm_core.decoder import LATENTS_MEAN, LATENTS_STD, AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig
from glm_core.geometry import COARSE_TOKENS, LONGEST_SIDE, SHORTEST_SIDE
from glm_core.glyph import GlyphConfig, GlyphEncoder
from glm_core.planner import PlannerConfig, PlannerModel, PromptTokenizer
from glm_core.vision import SemanticVQ, VisionConfig

CONTROLS = "<|endoftext|>", "<sop>", "<eop>", "<|image|>"
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "a"), ("i", "n"), ("3", "2"), ("Ġ", "the")]
TEXT_TOKENS = 256 + len(MERGES)  # every byte, and what is merged of them


@dataclass(frozen=True)
class Vocabulary:
    """The planner's ids in their order: the codebook, start and end of an image, other visual ids, text, controls.

    codes: size of the codebook. visual: number of ids that the image head can give. size: rows of the embedding table.
    control_ids: those of CONTROLS.
    """

    codes: int
    visual: int
    size: int
    control_ids: tuple[int, ...]

    @property
    def image_start(self) -> int:
        return self.codes

    @property
    def image_end(self) -> int:
        return self.codes + 1

    @property
    def controls(self) -> dict[str, int]:
        return dict(zip(CONTROLS, self.control_ids))


def small_vocabulary(codes: int) -> Vocabulary:
    """Only the codebook, start and end of an image, text tokens and controls."""
    visual = codes + 2
    first_control = visual + TEXT_TOKENS
    size = first_control + len(CONTROLS)
    return Vocabulary(codes, visual, size, tuple(range(first_control, size)))


RELEASED = Vocabulary(16384, 16512, 168064, (167841, 167845, 167846, 167855))


@dataclass(frozen=True)
class Tiny:
    """Sizes of a tiny model.

    coarse_tokens: about this many are in the coarse grid. shortest_side, longest_side: of reference images, in pixels.
    """

    seed: int = 0
    vocabulary: Vocabulary = RELEASED
    coarse_tokens: int = COARSE_TOKENS
    shortest_side: int = SHORTEST_SIDE
    longest_side: int = LONGEST_SIDE
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
        """vision_language_encoder/config.json. Keys that upstream lacks are written only if not default."""
        config = {
            "architectures": ["GlmImageForConditionalGeneration"],
            "model_type": "glm_image",
            "image_start_token_id": self.vocabulary.image_start,
            "image_end_token_id": self.vocabulary.image_end,
            "image_token_id": self.vocabulary.controls["<|image|>"],
            "text_config": self.text(),
            "vision_config": self.vision(),
            "vq_config": {
                "model_type": "glm_image_vqmodel", "embed_dim": 16, "num_embeddings": self.vocabulary.codes,
                "latent_channels": self.vision_width, "in_channels": 3,
            },
        }
        if self.coarse_tokens != COARSE_TOKENS:
            config["preview_tokens"] = self.coarse_tokens
        return config

    def text(self) -> dict:
        """text_config of vision_language_encoder/config.json."""
        return {
            "model_type": "glm_image_text",
            "hidden_size": self.planner_hidden,
            "num_hidden_layers": self.planner_layers,
            "num_attention_heads": self.planner_heads,
            "num_key_value_heads": self.planner_kv_heads,
            "intermediate_size": 3 * self.planner_hidden,
            "vocab_size": self.vocabulary.size,
            "vision_vocab_size": self.vocabulary.visual,
            "rms_norm_eps": 1e-5,
            "eos_token_id": self.vocabulary.image_end,
            "pad_token_id": self.vocabulary.controls["<|endoftext|>"],
            "max_position_embeddings": 131072,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 0.5,
                                "mrope_section": list(self.mrope_section)},
        }

    def vision(self) -> dict:
        """vision_config of vision_language_encoder/config.json."""
        config = {
            "model_type": "glm_image_vision", "hidden_size": self.vision_width, "depth": 2,
            "num_heads": self.vision_heads, "intermediate_size": 64, "patch_size": 16, "image_size": self.longest_side,
            "in_channels": 3, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "attention_bias": True,
            "spatial_merge_size": 1,
        }
        if (self.shortest_side, self.longest_side) != (SHORTEST_SIDE, LONGEST_SIDE):
            config |= {"shortest_side": self.shortest_side, "longest_side": self.longest_side}
        return config

    def dit(self) -> dict:
        """transformer/config.json."""
        return {
            "_class_name": "GlmImageTransformer2DModel", "patch_size": 2, "in_channels": 16, "out_channels": 16,
            "num_layers": self.dit_layers, "num_attention_heads": self.dit_heads,
            "attention_head_dim": self.dit_head_dim, "text_embed_dim": self.glyph_width, "time_embed_dim": 32,
            "condition_dim": 16, "prior_vq_quantizer_codebook_size": self.vocabulary.codes,
        }

    def glyph(self) -> dict:
        """text_encoder/config.json."""
        return {
            "architectures": ["T5EncoderModel"], "model_type": "t5", "d_model": self.glyph_width,
            "d_ff": 2 * self.glyph_width, "d_kv": 8, "num_heads": self.glyph_heads, "num_layers": self.glyph_layers,
            "vocab_size": 384, "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 32,
            "layer_norm_epsilon": 1e-6, "is_encoder_decoder": False,
        }

    def vae(self) -> dict:
        """vae/config.json."""
        blocks = len(self.vae_blocks)
        return {
            "_class_name": "AutoencoderKL", "block_out_channels": list(self.vae_blocks),
            "layers_per_block": self.vae_layers, "down_block_types": ["DownEncoderBlock2D"] * blocks,
            "up_block_types": ["UpDecoderBlock2D"] * blocks, "latent_channels": 16, "norm_num_groups": 16,
            "mid_block_add_attention": False, "use_quant_conv": False, "use_post_quant_conv": False,
            "latents_mean": list(LATENTS_MEAN), "latents_std": list(LATENTS_STD), "sample_size": 1024,
            "scaling_factor": 0.18215,
        }


SMALL = Tiny(vocabulary=small_vocabulary(64), coarse_tokens=16, shortest_side=64, longest_side=256)
WIDE = replace(SMALL, planner_hidden=256, planner_heads=16, dit_heads=16)

SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "use_dynamic_shifting": True,
    "time_shift_type": "linear", "base_shift": 0.25, "max_shift": 0.75, "base_image_seq_len": 256,
    "max_image_seq_len": 4096, "shift": 1.0,
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
    "{% if item['type'] == 'image' %}<|dit_token_16384|><|image|><|dit_token_16385|>{% else %}{{ item['text'] }}"
    "{% endif %}{% endfor %}{% endfor %}"
)
BYT5_CONFIG = {"tokenizer_class": "ByT5Tokenizer", "extra_ids": 125, "eos_token": "</s>", "pad_token": "<pad>",
               "unk_token": "<unk>"}


def make_tokenizer(vocabulary: Vocabulary = RELEASED) -> Tokenizer:
    """Byte-pair encoding with the ids of ``vocabulary``."""
    words = sorted(pre_tokenizers.ByteLevel.alphabet()) + [a + b for a, b in MERGES]
    ids = {f"<|dit_token_{i}|>": i for i in range(vocabulary.visual)}
    ids |= {word: vocabulary.visual + i for i, word in enumerate(words)}
    ids |= vocabulary.controls
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    image_marks = (f"<|dit_token_{i}|>" for i in (vocabulary.image_start, vocabulary.image_end))
    special = [AddedToken(name, special=True, normalized=False) for name in (*image_marks, *CONTROLS)]
    tokenizer.add_special_tokens(special)
    return tokenizer


def prompt_tokenizer(tiny: Tiny) -> PromptTokenizer:
    return PromptTokenizer(make_tokenizer(tiny.vocabulary).to_str())


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random values, scaled so that activations keep their size and no branch is negligible."""
    noise = torch.randn(shape, generator=generator)
    if "norm" in name and name.endswith("weight") and len(shape) == 1:
        return 1 + 0.2 * noise
    if len(shape) == 1:
        return 0.2 * noise
    if name.endswith(("embedding.weight", "embed_tokens.weight", "shared.weight", "relative_attention_bias.weight")):
        return noise
    return noise / torch.tensor(shape[1:]).prod().sqrt()


def random_part(module: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Random weights for all tensors of a module, by name."""
    return {name: random_tensor(name, tuple(tensor.shape), generator) for name, tensor in module.state_dict().items()}


def random_module(module_class: type[nn.Module], config: Any, seed: int = 0) -> Any:
    """A module of plain torch layers with random weights."""
    module = module_class(config, operations=ops)
    module.load_state_dict(random_part(module, torch.Generator().manual_seed(seed)))
    return module


def random_planner(tiny: Tiny, seed: int = 0) -> PlannerModel:
    """A random planner whose head strongly prefers ids outside the codebook, which must never be drawn."""
    model = random_module(PlannerModel, PlannerConfig.from_json(tiny.planner(), "tiny"), seed)
    model.lm_head.weight.data[tiny.vocabulary.codes:] *= 100
    return model


def unused_vision(tiny: Tiny) -> dict[str, tuple[int, ...]]:
    """Names and shapes of tensors that upstream expects in the file but never uses."""
    return {"vqmodel.post_quant_conv.weight": (tiny.vision_width, 16, 1, 1),
            "vqmodel.post_quant_conv.bias": (tiny.vision_width,)}


def write_shards(folder: Path, tensors: dict[str, Tensor], stem: str, shards: int) -> None:
    """Write tensors as several safetensors files with an index."""
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
    write_configs(folder, tiny)
    write_processor(folder / "processor", tiny.vocabulary)
    write_weights(folder, tiny)
    return folder


def small_checkpoint(folder: Path, seed: int = 0) -> Path:
    """``write_checkpoint`` with the sizes of SMALL."""
    return write_checkpoint(folder, replace(SMALL, seed=seed))


def write_configs(folder: Path, tiny: Tiny) -> None:
    write_json(folder / "model_index.json", MODEL_INDEX)
    write_json(folder / "vision_language_encoder" / "config.json", tiny.planner())
    write_json(folder / "transformer" / "config.json", tiny.dit())
    write_json(folder / "text_encoder" / "config.json", tiny.glyph())
    write_json(folder / "vae" / "config.json", tiny.vae())
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(folder / "tokenizer" / "tokenizer_config.json", BYT5_CONFIG)


def write_processor(folder: Path, vocabulary: Vocabulary) -> None:
    """Write what upstream's GlmImageProcessor reads; TOKENIZER_CONFIG and CHAT_TEMPLATE name the released ids."""
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    make_tokenizer(vocabulary).save(str(folder / "tokenizer.json"))


def write_weights(folder: Path, tiny: Tiny) -> None:
    generator = torch.Generator().manual_seed(tiny.seed)
    planner = PlannerModel(PlannerConfig.from_json(tiny.planner(), "tiny"), operations=ops)
    vision = SemanticVQ(VisionConfig.from_json(tiny.planner(), "tiny"), operations=ops)
    tensors = random_part(planner, generator) | random_part(vision, generator)
    tensors |= {name: random_tensor(name, shape, generator) for name, shape in unused_vision(tiny).items()}
    tensors = {released_name(name, PLANNER): tensor for name, tensor in tensors.items()}
    write_shards(folder / "vision_language_encoder", tensors, "model", 3)
    dit = GLMImageDiT(DiTConfig.from_json(tiny.dit(), "tiny"), operations=ops)
    write_shards(folder / "transformer", random_part(dit, generator), "diffusion_pytorch_model", 2)
    glyph = GlyphEncoder(GlyphConfig.from_json(tiny.glyph(), "tiny"), operations=ops)
    vae = AutoencoderKL(VAEConfig.from_json(tiny.vae(), "tiny"), operations=ops)
    for file, module in (("text_encoder/model", glyph), ("vae/diffusion_pytorch_model", vae)):
        save_file(random_part(module, generator), folder / f"{file}.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--small", action="store_true", help="64 codes instead of 16,384")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    write_checkpoint(options.out, replace(SMALL if options.small else Tiny(), seed=options.seed))
