import pytest

from glm_core.errors import GLMImageError
from glm_core.plans import check_batch


@pytest.mark.parametrize("found, wanted", [(1, 1), (1, 4), (4, 4)])
def test_one_or_equal_is_accepted(found, wanted):
    check_batch("plan", found, wanted, "like the latent's")


@pytest.mark.parametrize("found, wanted, sizes", [(4, 1, "1"), (4, 2, "1 or 2"), (2, 4, "1 or 4"), (0, 4, "1 or 4")])
def test_all_else_is_an_error_that_names_both(found, wanted, sizes):
    message = rf"^plan: the batch size must be {sizes}, like the latent's \(got {found}\); select some$"
    with pytest.raises(GLMImageError, match=message):
        check_batch("plan", found, wanted, "like the latent's", "; select some")
