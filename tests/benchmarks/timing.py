"""How times are taken, and what the machine can do at best."""

import time
from collections.abc import Callable

import numpy as np
import torch

from glm_core.pipeline import Compute

from .sizes import Size

SPEED_REPEATS = 7


def now(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(call: Callable, device: torch.device) -> float:
    start = now(device)
    call()
    return now(device) - start


def timed(call: Callable, device: torch.device) -> Callable[[], float]:
    """A function that gives the seconds of a call."""
    return lambda: seconds(call, device)


@torch.inference_mode()
def compare_times(ours: Callable, upstream: Callable, repeats: int) -> np.ndarray:
    """Medians of what the two functions give, ours first: [2], or [2, k] where a run gives k figures.

    They run in turns; the caller has run both before, to warm up.
    """
    return np.median([(ours(), upstream()) for _ in range(repeats)], axis=0)


@torch.inference_mode()
def median_seconds(call: Callable, device: torch.device, repeats: int) -> float:
    """Of the runs after the first, which warms up."""
    call()
    return float(np.median([seconds(call, device) for _ in range(repeats)]))


def copy_bandwidth(size: Size, compute: Compute) -> float:
    """Bytes read and written a second when a large tensor is copied."""
    source = torch.ones(size.copy_bytes, dtype=torch.uint8, device=compute.device)
    target = torch.zeros_like(source)
    return 2 * size.copy_bytes / median_seconds(lambda: target.copy_(source), compute.device, SPEED_REPEATS)


def matrix_rate(size: Size, compute: Compute) -> float:
    """Floating-point operations a second in the product of two square matrices."""
    side = size.matrix_side
    a, b = (torch.randn(side, side, device=compute.device, dtype=compute.dtype) for _ in range(2))
    return 2 * side**3 / median_seconds(lambda: torch.mm(a, b), compute.device, SPEED_REPEATS)
