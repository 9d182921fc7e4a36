import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_core.errors import GLMImageError
from glm_core.plans import (
    Drawn,
    Edited,
    Plan,
    best_of_each,
    best_plans,
    describe,
    read_indices,
    score_items,
    take,
    to_indices,
)
from glm_core.plans.rank import Score, foreground

examples = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def uniform_plan(values: list[float], **parts) -> Plan:
    """A plan of 2 x 2 tokens per value, three of them background, whose tokens all have this log-probability."""
    ids = torch.tensor([[[5, 5], [7, 5]]]).expand(len(values), -1, -1)
    coarse = torch.tensor([[[5, 8]]]).expand(len(values), -1, -1)
    return Plan(ids, coarse, log_probs=torch.tensor(values)[:, None].expand(-1, 6).contiguous(), **parts)


@st.composite
def scored_plans(draw) -> Plan:
    """Plans of up to 5 items with few different tokens, so that some are all background."""
    batch, rows, columns, codes = (draw(st.integers(1, most)) for most in (5, 4, 4, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    ids = torch.randint(0, codes, (batch, rows, columns), generator=generator)
    coarse = torch.randint(0, codes, (batch, 2, 2), generator=generator) if draw(st.booleans()) else None
    tokens = rows * columns + (0 if coarse is None else 4)
    origins = tuple(Drawn("a", i, (32 * columns, 32 * rows)) for i in range(batch))
    return Plan(ids, coarse, origins, -torch.rand(batch, tokens, generator=generator))


def test_the_most_frequent_token_of_an_item_is_its_background():
    grid = torch.tensor([[[5, 5, 7]], [[7, 7, 5]], [[5, 5, 5]]])
    assert foreground(grid).tolist() == [[[False, False, True]], [[False, False, True]], [[True, True, True]]]


def test_a_score_is_the_mean_over_the_tokens_that_are_not_background():
    coarse, ids = torch.tensor([[[5, 5], [8, 5]]]), torch.tensor([[[5, 6, 7], [5, 5, 5]]])
    log_probs = torch.tensor([[-9.0, -9, -1, -9, -9, -2, -6, -9, -9, -9]])
    (score,) = score_items(Plan(ids, coarse, log_probs=log_probs))
    assert score == Score(0, -4.0, 2, 0, 2, -6.0)
    (without_preview,) = score_items(Plan(ids, log_probs=log_probs[:, 4:]))
    assert without_preview == score


@examples
@given(scored_plans(), st.randoms(use_true_random=False))
def test_the_order_of_a_batch_changes_no_score(plan, random):
    order = random.sample(range(plan.batch), plan.batch)
    scores, shuffled = score_items(plan), score_items(take(plan, order))
    assert [score.mean for score in shuffled] == pytest.approx([scores[i].mean for i in order])
    assert [(score.row, score.column, score.lowest) for score in shuffled] == [
        (scores[i].row, scores[i].column, scores[i].lowest) for i in order]


@examples
@given(scored_plans(), st.data())
def test_the_best_plans_are_items_of_the_batch_with_all_of_their_parts(plan, data):
    keep = data.draw(st.integers(1, plan.batch))
    best, scores = best_plans(plan, keep)
    means = [score.mean for score in scores]
    assert means == sorted(means, reverse=True) and sorted(score.index for score in scores) == [*range(plan.batch)]
    expected = take(plan, [score.index for score in scores[:keep]])
    assert best.origins == expected.origins and torch.equal(best.ids, expected.ids)
    assert torch.equal(best.log_probs, expected.log_probs)


def test_equal_plans_stay_in_their_order():
    best, scores = best_plans(uniform_plan([-2.0, -1, -2, -1]), 3)
    assert [score.index for score in scores] == [1, 3, 0, 2]
    assert torch.equal(best.log_probs[:, 0], torch.tensor([-1.0, -1, -2]))


@examples
@given(scored_plans(), st.integers(1, 3))
def test_the_best_of_each_group_is_the_best_plan_of_its_items(plan, size):
    groups = [take(plan, range(start, min(start + size, plan.batch))) for start in range(0, plan.batch, size)]
    best = best_of_each(plan, size)
    assert best.origins == tuple(best_plans(group, 1)[0].origins[0] for group in groups)


def test_plans_that_are_not_chosen_from_need_no_likelihood():
    plan = Plan(torch.zeros(2, 2, 2, dtype=torch.int64))
    assert best_of_each(plan, 1) is plan


@pytest.mark.parametrize("keep", [0, 3, 1.5, None])
def test_no_more_can_be_kept_than_there_are(keep):
    with pytest.raises(GLMImageError, match="keep must be "):
        best_plans(uniform_plan([-1.0, -2]), keep)


@pytest.mark.parametrize("log_probs, message", [
    (None, "; connect planner to compute them"),
    (torch.full((1, 4), torch.nan), "log_probs must be finite numbers"),
])
def test_plans_without_usable_probabilities_are_refused(log_probs, message):
    with pytest.raises(GLMImageError, match=message):
        best_plans(Plan(torch.zeros(1, 2, 2, dtype=torch.int64), log_probs=log_probs), 1)


def test_a_ranking_has_a_line_for_each_plan():
    plan = uniform_plan([-2.0, -1.5], origins=(Drawn("a", 40, (64, 64)), Edited("join")))
    lines = describe(plan, best_plans(plan, 1)[1], 1).splitlines()
    assert lines == [
        "1. plan 1: mean log-probability -1.500 over 1 tokens that are not background, lowest -1.50 at row 1, column 0",
        "2. plan 0 (seed 40): mean log-probability -2.000 over 1 tokens that are not background, lowest -2.00 at row "
        "1, column 0 (not kept)"]


@examples
@given(st.lists(st.integers(0, 9999), unique=True))
def test_numbers_come_back_from_their_text(numbers):
    assert read_indices(to_indices(numbers)) == numbers


def test_numbers_may_be_typed_freely():
    assert to_indices([0, 3]) == "0, 3" and read_indices(" 3,0  12\n") == [3, 0, 12] and read_indices(" ") == []


@pytest.mark.parametrize("text", ["-1", "1.5", "1, 1", "0 00", "1, 01", "one", "0; 1", "12345", "\u0664", "\ud800"])
def test_other_texts_are_no_numbers(text):
    with pytest.raises(GLMImageError, match="^indices must be "):
        read_indices(text)
