"""A part that wants torch and transformers alone, in a process of its own: ``python -m tests.gpu.worker PART ...``."""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from glm_core.pipeline import Compute
from tests.benchmarks.sizes import SIZES
from tests.benchmarks.timing import copy_bandwidth, matrix_rate

from .parity import parity
from .record import Record
from .tokens import tokens
from .versions import facts


def machine(record: Record, device: torch.device, size: str) -> None:
    """What the card is, and what it can do at best."""
    compute = Compute(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    record.figure("copy bandwidth", copy_bandwidth(SIZES[size], compute) / 1e9, "GB/s")
    record.figure("matrix rate", matrix_rate(SIZES[size], compute) / 1e12, "TFLOP/s")
    if device.type == "cuda":
        print(subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=True).stdout)


PARTS = {"machine": machine, "parity": parity, "tokens": tokens}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.worker", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--device", type=torch.device, required=True)
    parser.add_argument("--size", choices=("full", "tiny"), required=True)
    given = parser.parse_args()
    record = Record(given.json, facts())
    PARTS[given.part](record, given.device, given.size)
    return 0 if record.passed else 1


if __name__ == "__main__":
    sys.exit(main())
