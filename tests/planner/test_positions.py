import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.geometry import check_size, positions, preview_grid, token_grid


@pytest.mark.parametrize("target, preview", [((32, 36), (15, 16)), ((36, 24), (19, 13)), ((24, 42), (12, 21)),
                                             ((34, 60), (12, 21)),
                                             ((1, 1), (16, 16)), ((16, 64), (8, 32)), ((40, 30), (18, 13))])
def test_preview_grids_of_the_reference(target, preview):
    assert preview_grid(*target) == preview


def test_preview_grid_equals_the_references_square_roots_for_every_grid():
    for rows in range(1, 129):
        for columns in range(1, 129):
            ratio = rows / columns
            expected = int(ratio**0.5 * 16), int((1 / ratio) ** 0.5 * 16)
            assert preview_grid(rows, columns) == expected


def test_empty_preview_is_refused():
    with pytest.raises(GLMImageError, match="empty preview"):
        preview_grid(1, 257)


@pytest.mark.parametrize("width, height, name", [(100, 64, "width"), (64, 33, "height"), (0, 64, "width"),
                                                 (64, 4128, "height")])
def test_sizes_off_the_grid_are_refused(width, height, name):
    with pytest.raises(GLMImageError, match=f"{name}: found .*multiples of 32 from 32 to 4096"):
        check_size(width, height)


@pytest.mark.parametrize("width, height", [(32, 32), (4096, 4096), (1024, 512)])
def test_sizes_on_the_grid(width, height):
    check_size(width, height)
    assert token_grid(width, height) == (height // 32, width // 32)


def test_positions_of_the_facts_example():
    """64 x 96 pixels with a prompt of 18 tokens: preview 13 x 19 from 18, target 2 x 3 from 37."""
    where = positions([18, (13, 19), (2, 3)]).T.tolist()
    assert where[17] == [17, 17, 17]
    assert where[18:20] == [[18, 18, 18], [18, 18, 19]]
    assert where[-1] == [37, 38, 39]
    assert len(where) == 18 + 13 * 19 + 6


def test_positions_of_the_facts_edit_example():
    """Two sources of 20 x 16 and 17 x 16 tokens: text starts at 41."""
    where = positions([1, (20, 16), 1, 1, (17, 16), 1, 7]).T.tolist()
    assert where[0] == [0, 0, 0] and where[1] == [1, 1, 1] and where[320] == [1, 20, 16]
    assert where[321:324] == [[21, 21, 21], [22, 22, 22], [23, 23, 23]]
    assert where[323 + 272] == [40, 40, 40] and where[324 + 272] == [41, 41, 41]


def test_positions_never_collide():
    where = positions([1, (4, 4), 2, (2, 9), 5, (3, 7), (6, 2)])
    assert len(torch.unique(where, dim=1).T) == where.shape[1]
