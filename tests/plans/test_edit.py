import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.plans import Drawn, Plan, Read, select


@pytest.fixture
def plan():
    origins = tuple(Drawn(f"prompt {i}", i, (96, 64)) for i in range(4))
    return Plan(torch.arange(24).view(4, 2, 3), torch.arange(16).view(4, 2, 2), origins, -torch.rand(4, 10))


def test_selected_items_keep_all_of_their_parts(plan):
    selected = select(plan, 1, 2)
    assert selected.origins == plan.origins[1:3]
    for name in ("ids", "coarse", "log_probs"):
        assert torch.equal(getattr(selected, name), getattr(plan, name)[1:3])


def test_what_a_plan_does_not_have_is_not_made_up(plan):
    selected = select(Plan(plan.ids), 3)
    assert selected.batch == 1
    assert (selected.coarse, selected.origins, selected.log_probs) == (None, (), None)


def test_a_selection_can_be_saved(plan, tmp_path):
    select(plan, 2).save(tmp_path / "plan.safetensors")
    loaded = Plan.load(tmp_path / "plan.safetensors")
    assert torch.equal(loaded.ids, plan.ids[2:3]) and loaded.origins == plan.origins[2:3]


def test_all_of_a_plan_is_the_plan(plan):
    assert torch.equal(select(plan, 0, 4).ids, plan.ids)
    assert select(Plan(plan.ids, origins=(Read((96, 64)),) * 4), 0, 4).origins == (Read((96, 64)),) * 4


@pytest.mark.parametrize("index, count, message", [
    (4, 1, r"index must be from 0 to 3, as the batch has 4 plans \(got 4\)"),
    (-1, 1, r"index must be from 0 to 3.* \(got -1\)"),
    (2, 3, r"count must be from 1 to 2, as 2 of 4 plans are left from index 2 on \(got 3\)"),
    (0, 0, r"count must be from 1 to 4.* \(got 0\)"),
    (0, 10**9, r"count must be from 1 to 4.* \(got 1000000000\)"),
])
def test_items_that_are_not_there_are_refused(plan, index, count, message):
    with pytest.raises(GLMImageError, match=message):
        select(plan, index, count)
