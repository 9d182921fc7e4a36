"""Selections of tokens as text."""

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glm_core.errors import GLMImageError
from glm_core.plans import selected_region


def write(region: torch.Tensor) -> str:
    """A region [rows, columns] as text, its runs counted one cell at a time."""
    runs, inside = [0], False
    for cell in region.flatten().tolist():
        if cell != inside:
            runs.append(0)
        inside = cell
        runs[-1] += 1
    rows, columns = region.shape
    return f"{columns}x{rows}:{','.join(map(str, runs))}"


@st.composite
def regions(draw) -> torch.Tensor:
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    cells = draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    return torch.tensor(cells).view(rows, columns)


@given(regions())
def test_a_selection_is_the_region_that_was_written(region):
    assert torch.equal(selected_region(write(region), *region.shape)[0], region)


def test_the_example_of_the_docstring():
    expected = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0]]).bool()
    assert torch.equal(selected_region("4x2:1,2,2,2", 2, 4)[0], expected)


def test_what_no_run_covers_is_outside():
    assert selected_region("4x2:0,1", 2, 4).flatten().tolist() == [True] + 7 * [False]


def test_nothing_selected():
    region = selected_region("", 2, 3)
    assert region.shape == (1, 2, 3)
    assert region.dtype == torch.bool
    assert not region.any()


def test_a_selection_in_another_size_selects_nothing_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        region = selected_region("4x2:1,2", 4, 2)
    assert region.shape == (1, 4, 2)
    assert not region.any()
    assert caplog.messages == [
        "the selection was made in a plan of 4 x 2 tokens and is ignored: this plan has 2 x 4"]


def test_every_second_token_of_the_largest_plan():
    region = torch.arange(128 * 128).view(128, 128) % 2 == 1
    assert torch.equal(selected_region(write(region), 128, 128)[0], region)


@pytest.mark.parametrize("text", [
    "4x2", "4x2:", "4x2:1,", "4x2:,1", "4x2:-1,2", "4x2:1;2", "4x2:1.5", " 4x2:1", "4x2:1\n", "2:1,2", "4X2:1", "true",
    "4x2:1, 2", "4x2:\u0661", "9999x2:1", "4x2:" + 20_000 * "0,0,",
])
def test_what_is_no_selection_is_refused_on_one_line(text):
    with pytest.raises(GLMImageError) as error:
        selected_region(text, 2, 4)
    assert str(error.value).startswith('selection must be empty or COLUMNSxROWS:RUN,RUN,… such as "4x2:1,2,2,2" (got ')
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("text", ["4x2:1,8", "0x2:0", "129x128:1", "999x999:1", "4x2:99999"])
def test_impossible_numbers_are_refused(text):
    with pytest.raises(GLMImageError, match="^selection must have runs of at most .* tokens in all"):
        selected_region(text, 2, 4)
