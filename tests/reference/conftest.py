"""Each case drawn once by upstream; the tests compare."""

from types import SimpleNamespace

import pytest

from glm_core.decoder import draw_noise
from tests.reference.cases import CASES, load_ours, load_upstream, run_upstream
from tests.support.tiny import write_checkpoint


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def both(request, tmp_path_factory):
    """The case, upstream's pipeline (pipe) and run of it (upstream), our parts (ours), and the noise."""
    case = request.param
    folder = write_checkpoint(tmp_path_factory.mktemp(case.name.replace(" ", "_")), case.tiny)
    pipe, noise = load_upstream(folder), draw_noise(7, 1, case.width, case.height)
    return SimpleNamespace(case=case, folder=folder, pipe=pipe, ours=load_ours(folder), noise=noise,
                           upstream=run_upstream(pipe, case, noise))
