"""Each case drawn once by the reference; the tests compare."""

from types import SimpleNamespace

import pytest

from glm_core.pipeline import draw_noise
from tests.reference.cases import CASES, load_ours, load_reference, run_reference
from tests.support.tiny import write_checkpoint


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def both(request, tmp_path_factory):
    """case, the reference's pipeline, our parts, the noise, and the reference's run."""
    case = request.param
    folder = write_checkpoint(tmp_path_factory.mktemp(case.name.replace(" ", "_")), case.tiny)
    pipe, noise = load_reference(folder), draw_noise(7, 1, case.width, case.height)
    return SimpleNamespace(case=case, folder=folder, pipe=pipe, ours=load_ours(folder), noise=noise,
                           ref=run_reference(pipe, case, noise))
