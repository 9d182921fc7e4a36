from dataclasses import replace

import pytest
import torch

from glm_core import ops
from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE
from glm_core.checkpoint.formats import check_marks
from glm_core.checkpoint.infer_config import config_from_shapes
from glm_core.checkpoint.sizes import check_sizes
from glm_core.decoder import AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig
from glm_core.errors import GLMImageError
from glm_core.glyph import GlyphConfig, GlyphEncoder
from glm_core.planner import PlannerConfig, PlannerModel
from glm_core.vision import SemanticVQ, VisionConfig
from tests.test_config import RELEASED as RELEASED_JSON

PLANNER_CONFIG = PlannerConfig(
    hidden_size=4096, num_hidden_layers=40, num_attention_heads=32, num_key_value_heads=2, intermediate_size=13696,
    vocab_size=168064, vision_vocab_size=16512, codebook_size=16384, image_start_token_id=16384,
    image_end_token_id=16385, mrope_section=(8, 12, 12), head_dim=128)
VISION_CONFIG = VisionConfig(hidden_size=1536, depth=40, num_heads=16, intermediate_size=6144, embed_dim=2048,
                             num_embeddings=16384)
DIT_CONFIG = DiTConfig(num_layers=30, num_attention_heads=32, attention_head_dim=128, text_embed_dim=1472,
                       time_embed_dim=512, condition_dim=256, prior_vq_quantizer_codebook_size=16384)
GLYPH_CONFIG = GlyphConfig(d_model=1472, d_ff=3584, d_kv=64, num_heads=6, num_layers=12, vocab_size=384)
VAE_CONFIG = VAEConfig(block_out_channels=(128, 512, 1024, 1024), layers_per_block=3)
RELEASED = {  # part → its modules with the released sizes
    PLANNER: ((PlannerModel, PLANNER_CONFIG), (SemanticVQ, VISION_CONFIG)), DIFFUSION: ((GLMImageDiT, DIT_CONFIG),),
    GLYPH: ((GlyphEncoder, GLYPH_CONFIG),), VAE: ((AutoencoderKL, VAE_CONFIG),),
}


def shapes(*modules) -> dict[str, torch.Tensor]:
    """Tensors without memory of modules, each a class and its config."""
    with torch.device("meta"):
        built = [module_class(config, operations=ops) for module_class, config in modules]
    return {name: tensor for module in built for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("part", RELEASED, ids=lambda part: part.title)
def test_shapes_of_the_released_size_give_the_config(part):
    found = config_from_shapes(part, shapes(*RELEASED[part]), "bare")
    for _, config in RELEASED[part]:
        assert type(config).from_json(found, "bare") == config


def test_a_planner_without_its_vision_tower_has_the_released_codebook():
    found = config_from_shapes(PLANNER, shapes((PlannerModel, PLANNER_CONFIG)), "bare")
    assert PlannerConfig.from_json(found, "bare") == PLANNER_CONFIG


def test_fewer_layers_are_counted():
    config = replace(DIT_CONFIG, num_layers=2)
    assert config_from_shapes(DIFFUSION, shapes((GLMImageDiT, config)), "bare")["num_layers"] == 2


@pytest.mark.parametrize("part, changes, found", [
    (PLANNER, {"num_attention_heads": 16}, "num_attention_heads 32, here 16"),
    (PLANNER, {"hidden_size": 2048}, "hidden_size 4096, here 2048"),
    (DIFFUSION, {"num_attention_heads": 16}, "num_attention_heads 32, here 16"),
    (DIFFUSION, {"attention_head_dim": 64}, "num_attention_heads 32, here 16"),
    (VAE, {"block_out_channels": (64, 512, 1024, 1024)}, r"block_out_channels .*, here \[64, 512, 1024, 1024\]"),
])
def test_other_sizes_are_refused(part, changes, found):
    (module_class, config), *others = RELEASED[part]
    expected = rf"^bare: it stores no config, and shapes tell only the released model's \({found}\); use "
    with pytest.raises(GLMImageError, match=expected):
        config_from_shapes(part, shapes((module_class, replace(config, **changes)), *others), "bare")


def test_shapes_tell_everything_of_the_glyph_encoder():
    config = replace(GLYPH_CONFIG, d_model=48, d_kv=8, num_heads=3, num_layers=2)
    found = config_from_shapes(GLYPH, shapes((GlyphEncoder, config)), "bare")
    assert GlyphConfig.from_json(found, "bare") == config


@pytest.mark.parametrize("part", RELEASED, ids=lambda part: part.title)
def test_the_released_config_fits_the_released_tensors(part):
    tensors = shapes(*RELEASED[part])
    check_sizes(part, RELEASED_JSON[part], tensors, "released")
    check_marks(tensors, RELEASED_JSON[part], "released")


@pytest.mark.parametrize("part, changes, found", [
    (PLANNER, {"hidden_size": 192}, r"text_config.hidden_size = 4096, as the tensors do \(got 192\)"),
    (DIFFUSION, {"attention_head_dim": 64},
     r"num_attention_heads \* attention_head_dim = 4096, as the tensors do \(got 32 \* 64\)"),
    (DIFFUSION, {"num_layers": 10**9}, r"num_layers = 30, as the tensors do \(got 1000000000\)"),
    (GLYPH, {"d_kv": 128}, r"num_heads \* d_kv = 384, as the tensors do \(got 6 \* 128\)"),
    (VAE, {"block_out_channels": [128]},
     r"block_out_channels = \[128, 512, 1024, 1024\], as the tensors do \(got \[128\]\)"),
])
def test_sizes_that_the_tensors_contradict_are_named(part, changes, found):
    config = RELEASED_JSON[part]
    config = config | ({"text_config": config["text_config"] | changes} if part is PLANNER else changes)
    with pytest.raises(GLMImageError, match=rf"^x: its config must have {found}$"):
        check_sizes(part, config, shapes(*RELEASED[part]), "x")
