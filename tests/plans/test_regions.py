from fractions import Fraction
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_core.errors import GLMImageError
from glm_core.plans.regions import coarse_region, grow, pixel_mask, token_region

SIDES = st.integers(1, 40)
GRIDS = st.tuples(st.integers(1, 12), st.integers(1, 12))


def random_region(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.2


def test_any_pixel_of_at_least_a_half_puts_its_cell_inside():
    mask = torch.zeros(64, 96)
    mask[31, 32] = 0.5
    mask[33, 0] = 0.49
    assert torch.equal(token_region(mask, 2, 2, 3), torch.tensor([[[0, 1, 0], [0, 0, 0]]]).bool().expand(2, -1, -1))


def test_each_plan_gets_its_own_mask():
    masks = torch.zeros(2, 2, 2)
    masks[0, 0, 0] = masks[1, 1, 1] = 1
    assert token_region(masks, 2, 2, 2).tolist() == [[[True, False], [False, False]], [[False, False], [False, True]]]


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, GRIDS, st.integers(0, 1), st.integers(1, 3))
def test_an_empty_mask_and_a_full_one_of_any_size(height, width, grid, value, batch):
    region = token_region(torch.full((height, width), float(value)), batch, *grid)
    assert region.shape == (batch, *grid) and region.dtype == torch.bool
    assert bool(region.all()) == bool(region.any()) == bool(value)


@settings(max_examples=200, deadline=None)
@given(GRIDS, GRIDS, st.integers(0, 2**32))
def test_a_coarse_cell_is_touched_where_it_overlaps_with_the_region(target, coarse, seed):
    region = random_region(seed, 1, *target)
    expected = torch.zeros(1, *coarse, dtype=torch.bool)
    for row, column in region[0].nonzero().tolist():
        for i, j in product(*map(range, coarse)):
            expected[0, i, j] |= (overlap(row, target[0], i, coarse[0]) and overlap(column, target[1], j, coarse[1]))
    assert torch.equal(coarse_region(region, *coarse), expected)


def overlap(i: int, parts: int, j: int, others: int) -> bool:
    """Whether part i of so many equal parts of a length overlaps with part j of others."""
    return Fraction(i, parts) < Fraction(j + 1, others) and Fraction(j, others) < Fraction(i + 1, parts)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3), GRIDS, st.integers(0, 2**32))
def test_the_mask_of_a_region_gives_the_region_back(batch, grid, seed):
    region = random_region(seed, batch, *grid)
    mask = pixel_mask(region)
    assert mask.shape == (batch, grid[0] * 32, grid[1] * 32) and mask.dtype == torch.float32
    assert torch.equal(token_region(mask, batch, *grid), region)


@settings(max_examples=200, deadline=None)
@given(GRIDS, st.integers(0, 15), st.integers(0, 15), st.integers(0, 2**32))
def test_a_region_grows_by_so_many_rows_and_columns(grid, rows, columns, seed):
    region = random_region(seed, 1, *grid)
    grown = grow(region, rows, columns)
    cells = region[0].nonzero().tolist()
    for i, j in product(*map(range, grid)):
        assert grown[0, i, j] == any(abs(i - row) <= rows and abs(j - column) <= columns for row, column in cells)


@pytest.mark.parametrize("mask, message", [
    (torch.zeros(4), r"mask must be \[H, W\] or \[B, H, W\] and not empty \(got \[4\]\)"),
    (torch.zeros(1, 1, 4, 4), r"\(got \[1, 1, 4, 4\]\)"),
    (torch.zeros(0, 4), r"not empty \(got \[0, 4\]\)"),
    (torch.zeros(0, 4, 4), r"not empty \(got \[0, 4, 4\]\)"),
    (torch.zeros(3, 4, 4), r"mask: the batch size must be 1 or 2, the number of plans \(got 3\)"),
    (torch.tensor([[float("nan"), 1]]), r"mask must have finite numbers only \(got 1 others\)"),
    (torch.tensor([[float("inf"), -float("inf")]]), r"mask must have finite numbers only \(got 2 others\)"),
])
def test_other_masks_are_refused(mask, message):
    with pytest.raises(GLMImageError, match=message):
        token_region(mask, 2, 2, 3)
