import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.plans import Plan
from glm_core.rl.advantages import LARGEST, advantages, standardise
from glm_core.rl.rewards import Sample, Score, WeightedReward
from glm_core.rl.tasks import RLTask

PLAN = Plan(torch.zeros(1, 2, 2, dtype=torch.int64))
TASK = RLTask("a", ())


class Given:
    """A reward that gives these scores, in order."""

    needs_pictures = False

    def __init__(self, *scores: Score):
        self.scores = scores

    def __call__(self, samples):
        assert len(samples) == len(self.scores)
        return list(self.scores)


def groups(count: int, size: int) -> list[list[Sample]]:
    return [[Sample(TASK, PLAN)] * size for _ in range(count)]


def test_scores_are_centred_by_group_and_divided_by_the_deviation_of_the_batch():
    first, second = standardise([torch.tensor([1.0, 3.0]), torch.tensor([10.0, 10.0])])
    assert torch.allclose(first, torch.tensor([-1.0, 1.0]) * 2**0.5)  # of -1, 1, 0, 0: 1 / sqrt 2
    assert second.tolist() == [0, 0]


def test_equal_scores_give_no_advantage_and_outliers_are_cut():
    assert standardise([torch.full((4,), 0.3)])[0].tolist() == [0] * 4
    outlier = torch.zeros(1000)
    outlier[0] = 1
    assert standardise([outlier])[0].max() == LARGEST


def test_cells_get_the_advantage_of_their_part_and_others_that_of_the_sample():
    part_of_cell = torch.tensor([[0, 1], [-1, 0]])
    reward = Given(Score(1.0, (1.0, 0.0), part_of_cell), Score(0.0, (0.0, 0.0), part_of_cell))
    found = advantages(groups(1, 2), [WeightedReward("given", 1.0, reward)])
    assert found.samples.tolist() == [[1, -1]]
    good = pytest.approx(2**0.5)  # the second part is equal in both, which halves the mean square
    assert found.cells[0][0].tolist() == [[good, 0], [1, good]]
    assert found.means == {"given": 0.5}


def test_rewards_in_different_units_are_added_by_their_weights():
    small, large = Given(Score(0.001), Score(0.0)), Given(Score(-500.0), Score(500.0))
    found = advantages(groups(1, 2), [WeightedReward("small", 3.0, small), WeightedReward("large", 1.0, large)])
    assert torch.allclose(found.samples, torch.tensor([[2.0, -2.0]]))
    assert torch.allclose(found.cells[0], torch.tensor([2.0, -2.0]).view(2, 1, 1).expand(2, 2, 2))


def test_a_group_of_equal_samples_is_not_kept():
    reward = Given(Score(1.0), Score(1.0), Score(0.0), Score(1.0))
    found = advantages(groups(2, 2), [WeightedReward("given", 1.0, reward)])
    assert [found.is_kept(0), found.is_kept(1)] == [False, True]


@pytest.mark.parametrize("size", [3, 7, 8, 24])
def test_rounding_is_no_advantage(size):
    """The mean of equal scores is not always just that score."""
    for first, second in ((97.3, 45.1), (1 / 3, 3 / 5)):
        reward = Given(*[Score(first)] * size, *[Score(second)] * size)
        found = advantages(groups(2, size), [WeightedReward("given", 1.0, reward)])
        assert not found.samples.any() and not found.is_kept(0) and not found.is_kept(1)


@pytest.mark.parametrize("score", [Score(float("nan")), Score(float("-inf")), Score(1e30), Score(0.0, (float("nan"),))])
def test_scores_that_are_no_measure_are_refused_by_the_name_of_their_reward(score):
    reward = Given(Score(0.0, score.parts and (0.0,)), score)
    with pytest.raises(GLMImageError, match="reward given: scores must be from -1e"):
        advantages(groups(1, 2), [WeightedReward("given", 1.0, reward)])
