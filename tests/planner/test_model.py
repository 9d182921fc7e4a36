import pytest
import torch

from glm_core import ops
from glm_core.checkpoint import PLANNER, fill
from glm_core.checkpoint.formats import quantise
from glm_core.errors import GLMImageError
from glm_core.planner import PlannerModel, plan_prompt
from glm_core.planner.model import fuse_qkv

PROMPT = "two cats on a red sofa"


def fuse(planner: PlannerModel) -> PlannerModel:
    config, tensors = fuse_qkv(planner.config, planner.state_dict())
    model = PlannerModel(config, operations=ops)
    fill(model, tensors, "tiny")
    return model


def test_queries_keys_and_values_in_one_matrix_write_the_same_plan(planner, tokenizer):
    fused = fuse(planner)
    assert len(list(fused.parameters())) == len(list(planner.parameters())) - 4 * planner.config.num_hidden_layers
    plain, together = (plan_prompt(model, tokenizer, PROMPT, 96, 64, batch=2, seed=3) for model in (planner, fused))
    assert torch.equal(plain.ids, together.ids) and torch.equal(plain.preview, together.preview)


@pytest.mark.parametrize("name", ["fp8", "int8"])
def test_quantised_matrices_stay_apart(planner, name):
    tensors = quantise(planner.state_dict(), PLANNER, name, "tiny")
    config, left = fuse_qkv(planner.config, tensors)
    assert not config.fused and left is tensors


def test_weights_kept_in_fp8_are_fused_as_they_are(planner):
    tensors = {name: tensor.to(torch.float8_e4m3fn) if tensor.ndim == 2 else tensor for name, tensor in planner.state_dict().items()}
    fused = fuse_qkv(planner.config, tensors)[1]["language_model.layers.0.self_attn.qkv_proj.weight"]
    assert fused.dtype == torch.float8_e4m3fn
    assert torch.equal(fused[: planner.config.hidden_size].float(), tensors["language_model.layers.0.self_attn.q_proj.weight"].float())


def test_a_missing_matrix_is_named_as_in_the_file(planner):
    missing = "language_model.layers.1.self_attn.k_proj.weight"
    config, tensors = fuse_qkv(planner.config, {name: tensor for name, tensor in planner.state_dict().items() if name != missing})
    with pytest.raises(GLMImageError, match=f"missing tensors: {missing}"):
        fill(PlannerModel(config, operations=ops), tensors, "tiny")
