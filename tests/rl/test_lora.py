import pytest
import torch

from glm_core.checkpoint.lora import PLANNER_STYLES, read_lora
from glm_core.errors import GLMImageError
from glm_core.rl.lora import PLANNER_FILE, LoRA, attach_lora, save_planner_lora
from tests.support.tiny import SMALL, random_planner

IDS = torch.tensor([[1, 2, 3]])


def outputs(model) -> torch.Tensor:
    return model.language_model.layers[0].mlp(torch.ones(1, 3, model.config.hidden_size))


def test_a_new_lora_changes_nothing_and_then_adds_its_product():
    model = random_planner(SMALL)
    before = outputs(model)
    loras = attach_lora(model, 2, 0, "layers")
    assert torch.equal(outputs(model), before)
    for lora in loras.values():
        lora.b.data.fill_(0.1)
    assert not torch.allclose(outputs(model), before)


def test_the_file_is_read_by_the_loaders_with_a_scale_of_one(tmp_path):
    model = random_planner(SMALL)
    loras = attach_lora(model, 2, 0, "layers")
    next(iter(loras.values())).b.data.fill_(0.5)
    save_planner_lora(loras, tmp_path, 2)
    modules = [name.removesuffix(".weight") for name in model.state_dict() if name.endswith(".weight")]
    found = read_lora(tmp_path / PLANNER_FILE).matching(PLANNER_STYLES, modules)
    assert set(found) == {name.replace("/", ".") for name in loras} and len(found) >= 7
    for module, adapter in found.items():
        lora = loras[module.replace(".", "/")]
        assert isinstance(lora, LoRA)
        assert adapter.tensors["alpha"] == adapter.rank == 2
        assert torch.equal(adapter.tensors["lora_up.weight"] @ adapter.tensors["lora_down.weight"],
                           lora.b.data @ lora.a.data)


def test_bad_ranks_and_names_are_refused():
    model = random_planner(SMALL)
    with pytest.raises(GLMImageError, match="--lora must be at least 1"):
        attach_lora(model, 0, 0, "layers")
    with pytest.raises(GLMImageError, match="linear layers in nothing"):
        attach_lora(model, 2, 0, "nothing")
