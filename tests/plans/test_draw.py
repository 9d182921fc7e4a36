import torch
from torch.utils._python_dispatch import TorchDispatchMode

from glm_core.plans import DROPPED, colours, draw_grid


def test_grids_are_drawn_with_a_colour_for_every_id():
    ids = torch.arange(16384)
    assert len(torch.unique((colours(ids) * 255).round(), dim=0)) > 16000
    assert (colours(ids[:-1]) - colours(ids[1:])).abs().sum(-1).min() > 0.1


def test_a_token_is_a_square_and_a_missing_one_is_black():
    image = draw_grid(torch.tensor([[[3, DROPPED], [3, 4]]]), 5)
    assert image.shape == (1, 10, 10, 3)
    assert image[0, :5, 5:].max() == 0 and torch.equal(image[0, 0, 0], image[0, 9, 0])


class NoDoubles(TorchDispatchMode):
    """Fails where an operation gives float64, which Macs' GPUs do not have."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        assert getattr(result, "dtype", None) != torch.float64, func
        return result


def test_drawing_needs_no_float64():
    with NoDoubles():
        assert draw_grid(torch.tensor([[[3, DROPPED]]]), 2).dtype == torch.float32
