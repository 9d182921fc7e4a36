"""How tests are spread over several processes, hypothesis without deadlines, and a line about the ComfyUI hosts."""

import os

import pytest
from hypothesis import settings

CORES = 2
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
# read when torch loads, here and in the processes that tests start; spinning threads hold up the other process
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, CORES // WORKERS)))

import torch  # noqa: E402

from tests.support.hosts import find_hosts, host_version  # noqa: E402

torch.set_num_threads(max(1, CORES // WORKERS))
settings.register_profile("tests", deadline=None)  # what else a machine does is no error of an example
settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests of one ComfyUI go to one process, which starts it once; so do other tests of one file."""
    hosts = find_hosts()
    for item in items:
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        group = next((host_version(param) for param in params if param in hosts), item.location[0])
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_terminal_summary(terminalreporter):
    hosts = find_hosts()
    if hosts:
        versions = ", ".join(host_version(host) for host in hosts)
        terminalreporter.write_line(f"ComfyUI: found {versions}; host tests run on each")
    else:
        terminalreporter.write_line(
            "ComfyUI: none was found, so the host tests were SKIPPED. To run them, set COMFYUI_PATH to a ComfyUI "
            "folder (several are separated by a colon), put one at ~/ComfyUI, or place this pack in its custom_nodes.")
