import pytest
import torch

from glm_core.plans import Plan
from tests.support.tiny import SMALL, prompt_tokenizer, random_planner


@pytest.fixture(scope="module")
def planner():
    return random_planner(SMALL)


@pytest.fixture(scope="module")
def tokenizer():
    return prompt_tokenizer(SMALL)


@pytest.fixture
def reference(planner):
    """Random tokens of a reference image."""
    generator = torch.Generator().manual_seed(0)
    return Plan(torch.randint(0, planner.config.codebook_size, (1, 3, 2), generator=generator))
