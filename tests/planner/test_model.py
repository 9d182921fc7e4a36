import pytest
import torch

from glm_core import ops
from glm_core.checkpoint import PLANNER, fill
from glm_core.checkpoint.formats import choose_formats, quantise
from glm_core.errors import GLMImageError
from glm_core.planner import PlannerConfig, PlannerModel, plan_prompt
from glm_core.planner.model import has_plain_qkv, released_names
from tests.support.tiny import Tiny

PROMPT = "two cats on a red sofa"
QUERIES = "language_model.layers.0.self_attn.q_proj.weight"
FUSED = "language_model.layers.0.self_attn.qkv_proj.weight"


def fuse(planner: PlannerModel) -> PlannerModel:
    """The same weights with queries, keys and values in one matrix."""
    model = PlannerModel(planner.config, operations=ops, fused=True)
    fill(model, planner.state_dict(), "tiny")
    return model


def test_queries_keys_and_values_in_one_matrix_write_the_same_plan(planner, tokenizer):
    fused = fuse(planner)
    assert len(list(fused.parameters())) == len(list(planner.parameters())) - 4 * planner.config.num_hidden_layers
    plain, together = (plan_prompt(model, tokenizer, PROMPT, 96, 64, batch=2, seed=3) for model in (planner, fused))
    assert torch.equal(plain.ids, together.ids) and torch.equal(plain.coarse, together.coarse)


def test_released_names_of_a_fused_planner_are_those_of_the_file(planner):
    assert released_names(fuse(planner)) == set(planner.state_dict())


def test_loading_does_not_change_the_tensors_that_it_is_given(planner):
    """The host reads them again for the vision tower."""
    tensors = planner.state_dict()
    before = list(tensors)
    fill(PlannerModel(planner.config, operations=ops, fused=True), tensors, "tiny")
    assert list(tensors) == before


@pytest.mark.parametrize("name", ["fp8", "int8"])
def test_quantised_matrices_cannot_be_fused(planner, name):
    tensors = planner.state_dict()
    quantised = dict(quantise(tensors, choose_formats(tensors, PLANNER, name, "tiny"), {}))
    assert has_plain_qkv(tensors) and not has_plain_qkv(quantised)


def test_fp8_weights_without_a_scale_are_fused_in_fp8(planner):
    tensors = {name: tensor.to(torch.float8_e4m3fn) if tensor.ndim == 2 else tensor
               for name, tensor in planner.state_dict().items()}
    model = PlannerModel(planner.config, operations=ops, fused=True)
    fill(model, tensors, "tiny", assign=True)
    fused = model.state_dict()[FUSED]
    assert has_plain_qkv(tensors) and fused.dtype == torch.float8_e4m3fn
    assert torch.equal(fused[: planner.config.hidden_size].float(), tensors[QUERIES].float())


@pytest.mark.parametrize("fused", [True, False])
def test_a_missing_matrix_is_named_as_in_the_file(planner, fused):
    missing = "language_model.layers.1.self_attn.k_proj.weight"
    tensors = {name: tensor for name, tensor in planner.state_dict().items() if name != missing}
    with pytest.raises(GLMImageError, match=missing):
        fill(PlannerModel(planner.config, operations=ops, fused=fused), tensors, "tiny")


def test_rotary_sections_that_do_not_add_up_are_refused():
    config = Tiny(mrope_section=(1, 1, 1)).planner()
    with pytest.raises(GLMImageError, match=r"mrope_section must add up to 4 \(got \(1, 1, 1\)\)"):
        PlannerConfig.from_json(config, "config.json")
