import torch

from glm_core.planner.positions import positions


def test_positions_of_a_prompt_and_its_grids():
    """64 x 96 pixels with a prompt of 18 tokens: coarse grid 13 x 19 from 18, target 2 x 3 from 37."""
    found = positions([18, (13, 19), (2, 3)]).T.tolist()
    assert found[17] == [17, 17, 17]
    assert found[18:20] == [[18, 18, 18], [18, 18, 19]]
    assert found[-1] == [37, 38, 39]
    assert len(found) == 18 + 13 * 19 + 6


def test_positions_of_two_reference_images_and_a_prompt():
    """Two reference images of 20 x 16 and 17 x 16 tokens: text starts at 41."""
    found = positions([1, (20, 16), 1, 1, (17, 16), 1, 7]).T.tolist()
    assert found[0] == [0, 0, 0] and found[1] == [1, 1, 1] and found[320] == [1, 20, 16]
    assert found[321:324] == [[21, 21, 21], [22, 22, 22], [23, 23, 23]]
    assert found[323 + 272] == [40, 40, 40] and found[324 + 272] == [41, 41, 41]


def test_positions_never_collide():
    found = positions([1, (4, 4), 2, (2, 9), 5, (3, 7), (6, 2)])
    assert len(torch.unique(found, dim=1).T) == found.shape[1]
