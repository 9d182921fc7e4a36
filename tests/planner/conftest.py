import pytest

from tests.support.tiny import SMALL, prompt_tokenizer, random_planner


@pytest.fixture(scope="module")
def planner():
    return random_planner(SMALL)


@pytest.fixture(scope="module")
def tokenizer():
    return prompt_tokenizer(SMALL)
