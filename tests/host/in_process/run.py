"""Run the tests beside this file inside ComfyUI's own process: ``python run.py PACK DIFFUSION_MODEL PLANNER``.

Wants the host's Python, and the host's folder as the working folder. Prints JSON: name of each test → "passed",
"skipped: why", or its traceback. Does without pytest, which a user's ComfyUI does not have.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple
from unittest import SkipTest

pack, diffusion_model, planner = sys.argv[1:]
del sys.argv[1:]  # ComfyUI has a command line of its own
sys.path[:0] = [os.getcwd()]
sys.path.append(pack)

from comfy.cli_args import args  # noqa: E402

args.cpu = True

# as main.py does: later, ComfyUI's folder comfy is in front of the path, and its utils is another module
import utils.install_util  # noqa: E402, F401, I001
import calls_tests  # noqa: E402
import decoder_tests  # noqa: E402
import fake_cuda_decoder_tests  # noqa: E402
import fake_cuda_planner_tests  # noqa: E402
import lora_tests  # noqa: E402
import paging_tests  # noqa: E402
import planner_tests  # noqa: E402
import torch  # noqa: E402
import training_tests  # noqa: E402


class Files(NamedTuple):
    """Paths of the tiny model's parts."""

    diffusion_model: str
    planner: str


@torch.inference_mode()
def run_test(test: Callable[[Files], None], files: Files) -> str:
    torch.manual_seed(0)
    try:
        test(files)
    except SkipTest as reason:
        return f"skipped: {reason}"
    except Exception:
        return traceback.format_exc()
    return "passed"


if __name__ == "__main__":
    files = Files(diffusion_model, planner)
    modules = (calls_tests, decoder_tests, fake_cuda_decoder_tests, fake_cuda_planner_tests, lora_tests, paging_tests,
               planner_tests, training_tests)
    tests = {name: value for module in modules for name, value in vars(module).items() if name.startswith("test_")}
    print(json.dumps({name: run_test(test, files) for name, test in tests.items()}))
