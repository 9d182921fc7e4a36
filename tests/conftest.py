"""Ends a run without a ComfyUI with a word on what was left out."""

import torch

from tests.host.servers import find_hosts, host_version

torch.set_num_threads(2)


def pytest_terminal_summary(terminalreporter):
    hosts = find_hosts()
    if hosts:
        terminalreporter.write_line("ComfyUI: the host tests ran on " + ", ".join(host_version(host) for host in hosts))
    else:
        terminalreporter.write_line(
            "ComfyUI: none was found, so the host tests were SKIPPED. To run them, set COMFYUI_PATH to a ComfyUI folder "
            "(several are separated by a colon), put one at ~/ComfyUI, or place this pack in its custom_nodes.")
