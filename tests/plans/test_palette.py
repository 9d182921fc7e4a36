import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from glm_core.errors import GLMImageError
from glm_core.plans import DROPPED, codebook_colours, colours
from glm_core.plans.palette import HEAT, heat_colours, look_up, oklab_to_rgb, principal_components


def groups_of_vectors(groups: int, members: int, width: int) -> torch.Tensor:
    """[groups * members, width]: the vectors of a group are close to each other."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(groups, 1, width, generator=generator)
    return (centres + 0.1 * torch.randn(groups, members, width, generator=generator)).flatten(0, 1)


def test_every_id_has_a_colour_of_its_own():
    ids = torch.arange(16384)
    assert len(torch.unique((colours(ids) * 255).round(), dim=0)) > 16000
    assert (colours(ids[:-1]) - colours(ids[1:])).abs().sum(-1).min() > 0.1


class NoDoubles(TorchDispatchMode):
    """Fails where an operation gives float64, which Macs' GPUs do not have."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        assert getattr(result, "dtype", None) != torch.float64, func
        return result


def test_colours_need_no_float64():
    ids = torch.tensor([[[3, DROPPED]]])
    with NoDoubles():
        assert look_up(ids, None).dtype == look_up(ids, torch.rand(4, 3)).dtype == torch.float32
        assert heat_colours(torch.tensor([-1.0])).dtype == torch.float32


def test_codes_that_are_alike_look_alike():
    palette = codebook_colours(groups_of_vectors(4, 50, 24)).view(4, 50, 3)
    within = (palette - palette.mean(1, keepdim=True)).norm(dim=-1).max()
    centres = palette.mean(1)
    assert within < 0.5 * torch.pdist(centres).min()
    assert torch.pdist(centres).min() > 0.15


def test_the_length_of_an_embedding_does_not_matter():
    vectors = groups_of_vectors(4, 10, 24)
    assert torch.allclose(codebook_colours(vectors), codebook_colours(vectors * 7), atol=1e-4)


def test_equal_embeddings_have_equal_colours_whatever_their_number():
    vectors = torch.cat((groups_of_vectors(3, 10, 24), torch.ones(70, 24)))
    assert codebook_colours(vectors)[-70:].std(0).max() < 1e-4


def test_components_are_those_of_the_full_decomposition():
    scale = torch.tensor([9.0, 6.0, 4.0] + [1.0] * 21)
    vectors = torch.randn(300, 24, generator=torch.Generator().manual_seed(1)).exp() * scale
    centred = vectors - vectors.mean(0)
    left, lengths, _ = torch.linalg.svd(centred, full_matrices=False)
    expected = (left * lengths)[:, :3]
    expected = expected * expected.pow(3).sum(0).sign()
    assert torch.allclose(principal_components(vectors), expected, atol=1e-2)


def test_signs_do_not_depend_on_the_order_of_the_codes():
    vectors = groups_of_vectors(5, 20, 24).exp()
    assert torch.allclose(principal_components(vectors.flip(0)), principal_components(vectors).flip(0), atol=1e-3)


def test_drawing_random_numbers_goes_on_as_before():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    codebook_colours(torch.ones(4, 4))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("codes, width", [(1, 1), (1, 8), (2, 1), (2, 8), (3, 2), (5, 3), (40, 2)])
def test_small_codebooks_have_colours_too(codes, width):
    vectors = torch.randn(codes, width, generator=torch.Generator().manual_seed(codes))
    palette = codebook_colours(vectors)
    assert palette.shape == (codes, 3) and palette.isfinite().all()
    assert palette.min() >= 0 and palette.max() <= 1 and palette.sum(-1).min() > 0.3
    if codes > 2 and width > 1:
        assert len(palette.unique(dim=0)) == codes


@pytest.mark.parametrize("vectors", [torch.zeros(6, 4), torch.ones(6, 4)])
def test_codes_that_do_not_differ_are_grey(vectors):
    palette = codebook_colours(vectors)
    assert (palette - palette[0, 0]).abs().max() < 1e-3 and 0.4 < palette[0, 0] < 0.8


def test_half_precision_gives_the_same_palette():
    vectors = groups_of_vectors(4, 10, 24).bfloat16()
    assert torch.equal(codebook_colours(vectors), codebook_colours(vectors.float()))


def test_ids_are_looked_up_and_missing_ones_are_black():
    palette = torch.rand(4, 3) + 0.1
    found = look_up(torch.tensor([[3, DROPPED]]), palette)
    assert torch.equal(found[0, 0], palette[3]) and not found[0, 1].any()
    assert not look_up(torch.tensor([DROPPED]), None).any()


@pytest.mark.parametrize("bad", [4, -2, 2**62])
def test_ids_of_another_codebook_are_refused(bad):
    with pytest.raises(GLMImageError, match=rf"ids must be from 0 to 3, the codes .* \(got {bad}\)"):
        look_up(torch.tensor([1, bad]), torch.rand(4, 3))


def test_oklab_is_that_of_its_author():
    """Red, green and blue as his page gives them."""
    red = oklab_to_rgb(*torch.tensor([0.62796, 0.22486, 0.12585]))
    blue = oklab_to_rgb(*torch.tensor([0.45201, -0.03246, -0.31153]))
    grey = oklab_to_rgb(*torch.tensor([0.59987, 0.0, 0.0]))
    assert torch.allclose(red, torch.tensor([1.0, 0, 0]), atol=5e-3)
    assert torch.allclose(blue, torch.tensor([0.0, 0, 1]), atol=5e-3)
    assert torch.allclose(grey, torch.full((3,), 128 / 255), atol=5e-3)


def test_the_hotter_the_more_probable():
    heat = heat_colours(torch.tensor([0.0, 1.0, 0.1, 0.01, 0.001, 0.0001]).clamp(min=1e-30).log())
    assert torch.allclose(heat[1], HEAT[-1]) and torch.allclose(heat[[0, 4, 5]], HEAT[0].expand(3, 3), atol=1e-6)
    assert heat[1].sum() > heat[2].sum() > heat[3].sum() > heat[4].sum()
    half = heat_colours(torch.tensor([math.log(0.001) / 2]))
    assert torch.allclose(half[0], HEAT[2], atol=1e-6)
