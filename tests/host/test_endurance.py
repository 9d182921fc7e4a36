"""Many runs on one server: cancelled ones leave no trace, and memory does not grow."""

import random
import threading
import time
from pathlib import Path

import pytest
import torch

from tests.host.graphs import SEED, inputs_of, run_and_load, small_workflow
from tests.support.servers import RUN_SECONDS, RunFailed, Server

MEBIBYTE = 2**20
PAGE = 4096  # bytes
WARM_UP_RUNS = 60  # until caches and allocators have their size
MOST_GROWTH = 40 * MEBIBYTE


def with_seed(seed: int) -> dict:
    """Text to image, planned and sampled with this seed."""
    graph = small_workflow("text_to_image", seed=seed)
    inputs_of(graph, "KSampler")["seed"] = seed
    return graph


def was_cancelled(server: Server, graph: dict, seconds: float) -> bool:
    """Run the graph and cancel it after this time, which may be too late."""
    timer = threading.Timer(seconds, server.post, ["/interrupt"])
    timer.start()
    try:
        server.run(graph)
    except RunFailed as failure:
        assert failure.details.get("exception_type") is None, failure.details  # interrupted, not failed
        return True
    finally:
        timer.cancel()
        timer.join()
    return False


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.long)])
def test_runs_cancelled_at_random_moments_leave_no_trace(server, count):
    chance = random.Random(count)
    server.run(with_seed(SEED))  # loads the models
    started = time.monotonic()
    server.run(with_seed(SEED + 1))
    duration = time.monotonic() - started
    before = run_and_load(server, with_seed(SEED + 1), "before_cancels")
    moments = [duration * (i + chance.random()) / count for i in range(count)]  # one in each part of a run
    cancelled = [was_cancelled(server, with_seed(SEED + 2 + i), moment) for i, moment in enumerate(moments)]
    after = run_and_load(server, with_seed(SEED + 1), "after_cancels")
    assert sum(cancelled) >= count / 3
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def resident_bytes(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * PAGE


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_stays_flat_over_300_runs(server):
    """Every third run is cancelled."""
    chance, sizes = random.Random(0), []
    for i in range(300):
        was_cancelled(server, with_seed(10_000 + i), chance.uniform(0, 1) if i % 3 == 0 else RUN_SECONDS)
        sizes.append(resident_bytes(server.process_id))
    assert sizes[-1] - sizes[WARM_UP_RUNS] <= MOST_GROWTH
