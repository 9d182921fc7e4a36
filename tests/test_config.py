import json
from dataclasses import dataclass, replace

import pytest

from glm_core.checkpoint import DIFFUSION, EMBEDDED, GLYPH, PLANNER, VAE, VISION
from glm_core.config import read_config
from glm_core.decoder import LATENTS_MEAN, LATENTS_STD, DiTConfig, VAEConfig
from glm_core.errors import GLMImageError
from glm_core.glyph import GlyphConfig
from glm_core.planner import PlannerConfig
from glm_core.vision import VisionConfig
from tests.support.tiny import Tiny

CONFIGS = {PLANNER: PlannerConfig, VISION: VisionConfig, DIFFUSION: DiTConfig, GLYPH: GlyphConfig, VAE: VAEConfig}
# config.json of the released checkpoint, with the keys that transformers and diffusers add
RELEASED_PLANNER = {
    "architectures": ["GlmImageForConditionalGeneration"], "dtype": "bfloat16", "transformers_version": "5.0.0.dev0",
    "model_type": "glm_image", "tie_word_embeddings": False, "image_start_token_id": 16384,
    "image_end_token_id": 16385, "image_token_id": 167855,
    "text_config": {
        "attention_dropout": 0.0, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
        "intermediate_size": 13696, "max_position_embeddings": 131072, "num_attention_heads": 32,
        "num_hidden_layers": 40, "num_key_value_heads": 2, "head_dim": None, "rms_norm_eps": 1e-05,
        "vocab_size": 168064, "vision_vocab_size": 16512, "use_cache": True, "eos_token_id": 16385,
        "pad_token_id": 167841, "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 0.5, "mrope_section": [8, 12, 12]},
    },
    "vision_config": {
        "attention_bias": True, "attention_dropout": 0.0, "depth": 40, "hidden_act": "gelu", "hidden_size": 1536,
        "image_size": 2048, "in_channels": 3, "intermediate_size": 6144, "layer_norm_eps": 1e-06, "num_heads": 16,
        "patch_size": 16,
    },
    "vq_config": {"embed_dim": 2048, "in_channels": 3, "latent_channels": 1536, "num_embeddings": 16384},
}
RELEASED = {
    PLANNER: RELEASED_PLANNER,
    VISION: RELEASED_PLANNER,
    DIFFUSION: {
        "_class_name": "GlmImageTransformer2DModel", "_diffusers_version": "0.37.0.dev0", "attention_head_dim": 128,
        "condition_dim": 256, "in_channels": 16, "num_attention_heads": 32, "num_layers": 30, "out_channels": 16,
        "patch_size": 2, "prior_vq_quantizer_codebook_size": 16384, "text_embed_dim": 1472, "time_embed_dim": 512,
    },
    GLYPH: {
        "architectures": ["T5EncoderModel"], "classifier_dropout": 0.0, "d_ff": 3584, "d_kv": 64, "d_model": 1472,
        "dense_act_fn": "gelu_new", "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu",
        "initializer_factor": 1.0, "is_encoder_decoder": False, "is_gated_act": True, "layer_norm_epsilon": 1e-06,
        "num_decoder_layers": 4, "num_heads": 6, "num_layers": 12, "pad_token_id": 0,
        "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32, "vocab_size": 384,
    },
    VAE: {
        "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [128, 512, 1024, 1024],
        "force_upcast": True, "in_channels": 3, "latent_channels": 16, "latents_mean": list(LATENTS_MEAN),
        "latents_std": list(LATENTS_STD), "layers_per_block": 3, "mid_block_add_attention": False,
        "norm_num_groups": 32, "out_channels": 3, "sample_size": 1024, "scaling_factor": 0.18215,
        "shift_factor": None, "use_post_quant_conv": False, "use_quant_conv": False,
    },
}


@dataclass(frozen=True)
class Example:
    """One field of each type that the parts' configs have."""

    layers: int
    token_id: int = 7
    epsilon: float = 1e-5
    bias: bool = True
    head_dim: int | None = None
    section: tuple[int, int, int] = (1, 2, 3)
    widths: tuple[int, ...] = (32, 64)
    means: tuple[float, ...] = (0.5,)


def read(**values):
    return read_config(Example, {"layers": 2, **values}, "part x.safetensors")


def test_given_values_are_taken_and_lists_become_tuples():
    values = {"layers": 3, "token_id": 0, "epsilon": 0.5, "bias": False, "head_dim": 64, "section": [4, 5, 6],
              "widths": [8], "means": [-1.5, 0.0, 2.0]}
    assert read(**values) == Example(3, 0, 0.5, False, 64, (4, 5, 6), (8,), (-1.5, 0.0, 2.0))


def test_whole_numbers_are_numbers():
    assert read(epsilon=1, means=[0, -2, 1.5]) == Example(2, epsilon=1, means=(0, -2, 1.5))


def test_unknown_keys_are_ignored():
    assert read(architectures=["X"], dropout=-1, nothing=None) == Example(2)


@pytest.mark.parametrize("key", ["token_id", "epsilon", "bias", "head_dim", "section", "widths", "means"])
def test_null_is_the_default(key):
    assert read(**{key: None}) == Example(2)


def test_missing_keys_are_all_named():
    with pytest.raises(GLMImageError, match="^part x.safetensors: the configuration lacks layers$"):
        read(layers=None)
    with pytest.raises(GLMImageError, match="lacks d_model, d_ff, num_heads$"):
        GlyphConfig.from_json({"d_kv": 1, "num_layers": 1, "vocab_size": 1}, "glyph encoder")


@pytest.mark.parametrize("key, value, expected", [
    ("layers", "2", "a whole number (got '2')"),
    ("layers", True, "a whole number (got True)"),
    ("layers", 2.0, "a whole number (got 2.0)"),
    ("layers", [2], "a whole number (got [2])"),
    ("layers", {}, "a whole number (got {})"),
    ("layers", 0, "at least 1 (got 0)"),
    ("layers", -2, "at least 1 (got -2)"),
    ("token_id", -1, "at least 0 (got -1)"),
    ("head_dim", "64", "a whole number (got '64')"),
    ("head_dim", 0, "at least 1 (got 0)"),
    ("epsilon", "1e-5", "a number (got '1e-5')"),
    ("epsilon", False, "a number (got False)"),
    ("epsilon", float("nan"), "a number (got nan)"),
    ("epsilon", float("inf"), "a number (got inf)"),
    ("epsilon", 0, "above 0 (got 0)"),
    ("epsilon", -1e-5, "above 0 (got -1e-05)"),
    ("bias", 1, "true or false (got 1)"),
    ("bias", "true", "true or false (got 'true')"),
    ("section", [1, 2], "a list of 3 numbers (got [1, 2])"),
    ("section", [1, 2, 3, 4], "a list of 3 numbers (got [1, 2, 3, 4])"),
    ("section", 6, "a list of 3 numbers (got 6)"),
    ("section", [1, 2, 3.0], "a whole number (got 3.0)"),
    ("section", [1, True, 3], "a whole number (got True)"),
    ("section", [0, 2, -3], "at least 0 (got -3)"),
    ("widths", 32, "a list of numbers (got 32)"),
    ("widths", "32", "a list of numbers (got '32')"),
    ("widths", ["32"], "a whole number (got '32')"),
    ("widths", [32, -1], "at least 0 (got -1)"),
    ("means", [0.5, None], "a number (got None)"),
    ("means", [float("nan")], "a number (got nan)"),
    ("means", {"0": 1}, "a list of numbers (got {'0': 1})"),
])
def test_a_wrong_value_is_named_with_what_must_hold(key, value, expected):
    with pytest.raises(GLMImageError) as error:
        read(**{key: value})
    assert str(error.value) == f"part x.safetensors: {key} must be {expected}"


def as_file(config: dict) -> dict:
    return json.loads(json.dumps(config))


@pytest.mark.parametrize("part", CONFIGS, ids=lambda part: part.title)
def test_configs_of_the_released_checkpoint_are_accepted(part):
    CONFIGS[part].from_json(as_file(RELEASED[part]), "released")


def test_values_of_the_released_configs_are_read():
    planner = PlannerConfig.from_json(as_file(RELEASED_PLANNER), "released")
    assert (planner.head_size, planner.codebook_size, planner.mrope_section) == (128, 16384, (8, 12, 12))
    assert planner == replace(planner, head_dim=None, rope_theta=10000, attention_bias=True)
    vae = VAEConfig.from_json(as_file(RELEASED[VAE]), "released")
    assert vae == VAEConfig((128, 512, 1024, 1024), 3)


@pytest.mark.parametrize("part", CONFIGS, ids=lambda part: part.title)
def test_configs_of_the_embedded_and_the_tiny_checkpoint_are_accepted(part):
    tiny = {PLANNER: Tiny().planner(), VISION: Tiny().planner(), DIFFUSION: Tiny().dit(), GLYPH: Tiny().glyph(),
            VAE: Tiny().vae()}
    CONFIGS[part].from_json(as_file(tiny[part]), "tiny")
    embedded = json.loads((EMBEDDED / part.folder / "config.json").read_text(encoding="utf-8"))
    CONFIGS[part].from_json(embedded, "embedded")


@pytest.mark.parametrize("value, found", [
    ([], r"must be an object \(got \[\]\)"), ("x", r"must be an object \(got 'x'\)"),
    (3, r"must be an object \(got 3\)")])
@pytest.mark.parametrize("part, name", [
    (PLANNER, "text_config"), (PLANNER, "vq_config"), (VISION, "vq_config"), (VISION, "vision_config")])
def test_sections_that_are_no_objects_are_named(part, name, value, found):
    with pytest.raises(GLMImageError, match=f"^x: {name} {found}"):
        CONFIGS[part].from_json(RELEASED[part] | {name: value}, "x")


@pytest.mark.parametrize("part, name", [(PLANNER, "text_config"), (VISION, "vision_config")])
def test_a_section_that_is_null_counts_as_empty(part, name):
    with pytest.raises(GLMImageError, match="^x: the configuration lacks hidden_size"):
        CONFIGS[part].from_json(RELEASED[part] | {name: None}, "x")


@pytest.mark.parametrize("part, changes, found", [
    (PLANNER, {"image_end_token_id": 168064}, r"image_end_token_id must be at most 168063 \(got 168064\)"),
    (PLANNER, {"preview_tokens": 10**9}, r"preview_tokens must be at most 4096 \(got 1000000000\)"),
    (PLANNER, {"vq_config": {"num_embeddings": 20000}}, r"codebook_size must be at most 16512 \(got 20000\)"),
    (VISION, {"vision_config": RELEASED_PLANNER["vision_config"] | {"image_size": 10**6}},
     "image_size must be at most"),
    (VISION, {"vision_config": RELEASED_PLANNER["vision_config"] | {"num_heads": 7}},
     "hidden_size must be a multiple of num_heads"),
    (DIFFUSION, {"num_layers": 10**30}, "num_layers must be at most"),
    (VAE, {"latents_rgb": [0.5] * 48},
     r"latents_rgb must be three numbers for each of 16 channels and three more \(got 48\)"),
    (DIFFUSION, {"latents_rgb": "red"}, r"latents_rgb must be a list of numbers"),
    (DIFFUSION, {"latents_mean": [0.0] * 4}, r"latents_mean must have a number for each of 16 channels \(got 4\)"),
    (DIFFUSION, {"latents_std": [1.0] * 15 + [0.0]}, r"latents_std must be above 0 \(got 0.0\)"),
    (VAE, {"norm_num_groups": 48}, r"block_out_channels must be multiples of norm_num_groups 48 \(got 128\)"),
    (VAE, {"block_out_channels": []}, r"block_out_channels must be a list of 1 to 256 numbers \(got \[\]\)"),
    (GLYPH, {"relative_attention_num_buckets": 512}, "relative_attention_num_buckets must be from 4 to 128"),
    (GLYPH, {"layer_norm_epsilon": 10**400}, "layer_norm_epsilon must be at most"),
])
def test_values_that_do_not_fit_each_other_are_named(part, changes, found):
    with pytest.raises(GLMImageError, match=f"^x: {found}"):
        CONFIGS[part].from_json(RELEASED[part] | changes, "x")
