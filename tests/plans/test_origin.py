import pytest

from glm_core.errors import GLMImageError
from glm_core.plans import PROMPT_SEPARATOR, Drawn, Edited, Read, common_prompt
from glm_core.plans.origin import from_json, to_json

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
    ((CAT, CAT_2, DOG), r"must have the same prompts, but items 0 and 2 \(counted from 0\) differ; select one plan "
                        "with GLM-Image Select Plan"),
    ((CAT, Edited("paste", (CAT, DOG))), "items 0 and 1 .* differ"),
])
def test_no_prompt_or_different_ones_are_refused(origins, message):
    with pytest.raises(GLMImageError, match=message):
        common_prompt(origins)


def test_the_prompts_of_an_item_come_in_order_each_once():
    replanned = Edited("replan", (DOG, Edited("compose", (CAT, Read(SIZE), CAT_2, DOG))))
    swapped = Edited("compose", (CAT, DOG))
    assert common_prompt((replanned, swapped)) == f"a dog{PROMPT_SEPARATOR}a cat"


def test_an_edited_source_gives_way_to_its_own_sources():
    composed = Edited("compose", (CAT, Edited("crop", (DOG,)), Edited("crop"), CAT))
    assert composed.sources == (CAT, DOG)
    assert Edited("pad", (composed,)) == Edited("pad", (CAT, DOG))


def test_an_item_that_was_edited_often_has_a_short_origin():
    origin = Edited("crop", (CAT,))
    for _ in range(2000):
        origin = Edited("compose", (origin, Edited("pad", (origin, DOG))))
    assert from_json(to_json((origin,))) == (origin,) == (Edited("compose", (CAT, DOG)),)


def test_nested_origins_of_older_files_are_read():
    inner = '{"kind": "edited", "operation": "pad", "sources": [{"kind": "read", "size": [96, 64]}]}'
    text = f'[{{"kind": "edited", "operation": "crop", "sources": [{inner}]}}]'
    assert from_json(text) == (Edited("crop", (Read(SIZE),)),)
