import pytest
import torch

from glm_core import ops
from glm_core.planner import PlannerConfig, PlannerModel, PromptTokenizer
from tests.support.tiny import Tiny, make_tokenizer, random_part


@pytest.fixture(scope="module")
def planner():
    """A random planner whose head likes nothing better than ids that are no codes."""
    model = PlannerModel(PlannerConfig.from_json(Tiny().planner(), "tiny"), operations=ops)
    model.load_state_dict(random_part(model, torch.Generator().manual_seed(0)))
    model.lm_head.weight.data[16384:] *= 100
    return model


@pytest.fixture(scope="module")
def tokenizer():
    return PromptTokenizer(make_tokenizer().to_str())
