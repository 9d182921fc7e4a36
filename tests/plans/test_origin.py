import pytest

from glm_core.errors import GLMImageError
from glm_core.plans import Drawn, Edited, Read, common_prompt

SIZE = (96, 64)
CAT, CAT_2, DOG = Drawn("a cat", 1, SIZE), Drawn("a cat", 2, SIZE), Drawn("a dog", 1, SIZE)


@pytest.mark.parametrize("origins", [
    (CAT,), (CAT, CAT_2), (Edited("crop", (CAT,)), CAT_2), (Edited("paste", (CAT, Read(SIZE))),),
    (Edited("crop", (Edited("paste", (Read(SIZE), CAT)),)),), (Edited("paste", (CAT, CAT_2)),),
])
def test_one_prompt_is_the_plans_own(origins):
    assert common_prompt(origins) == "a cat"


def test_an_empty_prompt_is_one():
    assert common_prompt((Drawn("", 1, SIZE),)) == ""


@pytest.mark.parametrize("origins, message", [
    ((), r"item 0 \(counted from 0\) does not come from a known prompt; connect prompt"),
    ((Read(SIZE),), "does not come from a known prompt"),
    ((CAT, Edited("crop", (Read(SIZE),))), "item 1 .*does not come from a known prompt"),
    ((CAT, Edited("crop")), "item 1 .*does not come from a known prompt"),
    ((Edited("paste", (CAT, DOG)),), "is made of plans of 2 prompts; connect prompt"),
    ((CAT, DOG, CAT_2), r"must have the same prompt \(got 2 prompts\); select one plan with GLM-Image Select Plan"),
])
def test_no_prompt_or_several_are_refused(origins, message):
    with pytest.raises(GLMImageError, match=message):
        common_prompt(origins)
