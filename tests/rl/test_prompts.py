import random

import pytest

from glm_core.errors import GLMImageError
from glm_core.rl.prompts import split_tasks
from glm_core.rl.tasks import RLTask


def tasks(*prompts: str) -> list[RLTask]:
    return [RLTask(prompt, ()) for prompt in prompts]


def test_a_measured_prompt_is_not_trained_on_even_if_it_stands_in_the_file_twice():
    found = split_tasks(tasks("a", "b", "a", "c"), 5)
    assert [task.prompt for task in found.measured] == ["a"]
    assert {task.prompt for task in found.source.draw(random.Random(0), 50)} == {"b", "c"}


def test_a_file_of_one_prompt_is_refused():
    with pytest.raises(GLMImageError, match="must have a prompt to train on"):
        split_tasks(tasks("a", "a"), 5)
