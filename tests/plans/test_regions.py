from fractions import Fraction
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_core.errors import GLMImageError
from glm_core.plans import Plan, coarse_region, grow, pixel_mask, token_region, uncertain_region

examples = settings(max_examples=200, deadline=None, derandomize=True, database=None)
SIDES = st.integers(1, 40)
GRIDS = st.tuples(st.integers(1, 12), st.integers(1, 12))


def random_region(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.2


def test_any_pixel_of_at_least_a_half_puts_its_cell_inside():
    mask = torch.zeros(64, 96)
    mask[31, 32] = 0.5
    mask[33, 0] = 0.49
    assert torch.equal(token_region(mask, 2, 2, 3), torch.tensor([[[0, 1, 0], [0, 0, 0]]]).bool().expand(2, -1, -1))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float8_e4m3fn, torch.bfloat16, torch.float64])
def test_a_mask_may_have_any_real_numbers(dtype):
    mask = torch.tensor([[0, 1], [0, 0]]).to(dtype)
    assert token_region(mask, 1, 2, 2).tolist() == [[[False, True], [False, False]]]


def test_each_plan_gets_its_own_mask():
    masks = torch.zeros(2, 2, 2)
    masks[0, 0, 0] = masks[1, 1, 1] = 1
    assert token_region(masks, 2, 2, 2).tolist() == [[[True, False], [False, False]], [[False, False], [False, True]]]


@examples
@given(SIDES, SIDES, GRIDS, st.integers(0, 1), st.integers(1, 3))
def test_an_empty_mask_and_a_full_one_of_any_size(height, width, grid, value, batch):
    region = token_region(torch.full((height, width), float(value)), batch, *grid)
    assert region.shape == (batch, *grid) and region.dtype == torch.bool
    assert bool(region.all()) == bool(region.any()) == bool(value)


@examples
@given(GRIDS, GRIDS, st.integers(0, 2**32))
def test_a_coarse_cell_is_touched_where_it_overlaps_with_the_region(target, coarse, seed):
    region = random_region(seed, 1, *target)
    rows, columns = (overlaps(*counts) for counts in zip(coarse, target))
    assert torch.equal(coarse_region(region, *coarse), rows @ region.float() @ columns.T > 0)


def overlaps(parts: int, others: int) -> torch.Tensor:
    """Which of so many equal parts of a length overlap with which of others: 0 or 1, [parts, others]."""
    return torch.tensor([[float(Fraction(i, parts) < Fraction(j + 1, others)
                                and Fraction(j, others) < Fraction(i + 1, parts)) for j in range(others)]
                         for i in range(parts)])


@examples
@given(st.integers(1, 3), GRIDS, st.integers(0, 2**32))
def test_the_mask_of_a_region_gives_the_region_back(batch, grid, seed):
    region = random_region(seed, batch, *grid)
    mask = pixel_mask(region)
    assert mask.shape == (batch, grid[0] * 32, grid[1] * 32) and mask.dtype == torch.float32
    assert torch.equal(token_region(mask, batch, *grid), region)


@examples
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
    (torch.ones(4, 4, dtype=torch.complex64), r"mask must have real numbers \(got torch.complex64\)"),
    (torch.tensor([[float("nan"), 1]]), r"mask must have finite numbers only \(got 1 others\)"),
    (torch.tensor([[float("inf"), -float("inf")]]), r"mask must have finite numbers only \(got 2 others\)"),
])
def test_other_masks_are_refused(mask, message):
    with pytest.raises(GLMImageError, match=message):
        token_region(mask, 2, 2, 3)


def plan_of(log_probs: torch.Tensor, coarse: bool = False) -> Plan:
    """A plan whose target has these log-probabilities [B, h, w]; those of its coarse grid are far lower."""
    ids = torch.zeros(log_probs.shape, dtype=torch.int64)
    values = log_probs.flatten(1)
    if not coarse:
        return Plan(ids, log_probs=values)
    return Plan(ids, ids[:, :1, :1], log_probs=torch.cat([torch.full((len(ids), 1), -99.0), values], dim=1))


@examples
@given(st.integers(1, 2), GRIDS, st.floats(0, 1), st.booleans(), st.integers(0, 2**32))
def test_the_least_certain_region_is_connected_and_has_its_share(batch, grid, share, coarse, seed):
    log_probs = -torch.rand((batch, *grid), generator=torch.Generator().manual_seed(seed))
    for item in uncertain_region(plan_of(log_probs, coarse), share):
        cells = set(map(tuple, item.nonzero().tolist()))
        assert len(cells) == max(1, round(share * grid[0] * grid[1]))
        assert reached(next(iter(cells)), cells) == cells


def reached(start: tuple, cells: set[tuple]) -> set[tuple]:
    """The cells that lie together with ``start``, by their sides."""
    found, new = set(), {start}
    while new:
        found |= new
        new = {(i + di, j + dj) for i, j in new for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1))} & cells - found
    return found


def test_a_region_grows_from_the_least_certain_token_over_its_item():
    log_probs = torch.full((2, 8, 8), -0.1)
    log_probs[0, 5, 2:6] = torch.tensor([-1.0, -3.0, -0.5, -2.0])  # an item
    log_probs[0, 0, 7] = -2.9
    log_probs[1, 0, 0] = -1
    region = uncertain_region(plan_of(log_probs), 0.2)
    assert region[0, 5, 2:6].all() and not region[0, 0, 7] and region.sum((1, 2)).tolist() == [13, 13]
    assert region[1, 0, 0] and not region[1, 4:].any()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(GLMImageError, match=r"share must be from 0.0 to 1.0 \(got"):
        uncertain_region(plan_of(torch.zeros(1, 2, 2)), share)


def test_plans_without_usable_log_probabilities_are_refused():
    with pytest.raises(GLMImageError, match="must have log-probabilities, as from GLM-Image Plan"):
        uncertain_region(Plan(torch.zeros(1, 2, 2, dtype=torch.int64)), 0.1)
    with pytest.raises(GLMImageError, match="log_probs must be finite numbers"):
        uncertain_region(plan_of(torch.tensor([[[0, float("nan")]]])), 0.1)
