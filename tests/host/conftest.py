"""One server per ComfyUI found, with a tiny checkpoint in both layouts. Without a ComfyUI these tests are skipped."""

from types import SimpleNamespace

import pytest

from glm_core.checkpoint import FORMATS, convert_folder
from tests.support.servers import find_hosts, host_version, serve
from tests.support.tiny import Tiny, write_checkpoint

HOSTS = find_hosts()


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A models folder: the released layout under diffusers/, the converted files where ComfyUI looks for them."""
    folder = tmp_path_factory.mktemp("models")
    released = write_checkpoint(folder / "diffusers" / "GLM-Image", Tiny(seed=1))
    for quantised in (None, *FORMATS):
        list(convert_folder(released, folder, quantised))
    (folder / "loras").mkdir()
    return SimpleNamespace(folder=folder, released=released)


@pytest.fixture(scope="session", params=HOSTS, ids=host_version)
def server(request, models, tmp_path_factory):
    with serve(request.param, tmp_path_factory.mktemp("comfyui"), models.folder) as running:
        yield running
