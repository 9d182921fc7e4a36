"""How times are taken, and what the machine can do at best."""

import time
from collections.abc import Callable

import numpy as np
import torch

from glm_core.pipeline import Place

from .sizes import Size


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
    return lambda: seconds(call, device)


@torch.inference_mode()
def race(ours: Callable, reference: Callable, repeats: int) -> np.ndarray:
    """Medians of what the two sides give, ours first: [2], or [2, k] where a run gives k figures.

    They run in turns; the caller has run both before, to warm up.
    """
    return np.median([(ours(), reference()) for _ in range(repeats)], axis=0)


@torch.inference_mode()
def copy_bandwidth(size: Size, place: Place, repeats: int = 7) -> float:
    """Bytes read and written a second when a large tensor is copied."""
    source = torch.ones(size.copy_bytes, dtype=torch.uint8, device=place.device)
    target = torch.zeros_like(source)
    return 2 * size.copy_bytes / np.median([seconds(lambda: target.copy_(source), place.device) for _ in range(repeats)])


@torch.inference_mode()
def matrix_rate(size: Size, place: Place, repeats: int = 7) -> float:
    """Floating-point operations a second in the product of two square matrices."""
    a, b = (torch.randn(size.matrix_side, size.matrix_side, device=place.device, dtype=place.dtype) for _ in range(2))
    torch.mm(a, b)
    return 2 * size.matrix_side**3 / np.median([seconds(lambda: torch.mm(a, b), place.device) for _ in range(repeats)])
