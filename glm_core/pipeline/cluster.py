"""Jobs on a Ray cluster: a pool of workers that plan, and a pool of workers that draw.

Ray Data streams jobs from the first pool to the second and their PNG files back to this process, which alone writes
them. It pauses the planners when waiting plans fill their share of its memory, and repeats the work of lost workers.
``on_cluster`` gives any other work to a pool, such as that of reinforcement learning.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from ..errors import GLMImageError
from ..plans import Plan
from .jobs import Drawing, Job, plan_jobs, render_jobs
from .parts import Compute, Loaders, model_tag
from .requests import PlanRequest, RenderRequest, check_count
from .run import Progress, no_progress, plan

LOCAL = "local"
ITEM = "item"  # the one column of the datasets
Row = dict[str, Any]


@dataclass(frozen=True)
class Pools:
    """The cluster, and how many workers of each kind it runs.

    address: of the cluster; "local" starts one on this machine and ends it afterwards.
    gpus_per_planner, gpus_per_decoder: may be fractions, so that several workers share a GPU.
    threads: of each worker; results may round differently with another number.
    """

    address: str = LOCAL
    planners: int = 1
    decoders: int = 1
    gpus_per_planner: float = 0
    gpus_per_decoder: float = 0
    threads: int = 1

    def __post_init__(self) -> None:
        check_count("planners", self.planners)
        check_count("decoders", self.decoders)
        for name in ("gpus_per_planner", "gpus_per_decoder"):
            gpus = getattr(self, name)
            if not isfinite(gpus) or gpus < 0 or gpus > 1 and gpus != int(gpus):
                raise GLMImageError(f"--{name.replace('_', '-')} must be from 0 to 1, or a whole number (got {gpus})")

    @property
    def cpus(self) -> int:
        """What Ray counts: one for each worker, and one for its own tasks."""
        return self.planners + self.decoders + 1


class Worker:
    """One process of a pool. It keeps the parts that it has loaded. Its errors are passed on to the end."""

    def __init__(self, model: Path, compute: Compute, threads: int):
        torch.set_num_threads(threads)
        self.model, self.compute, self.loaders = model, compute, Loaders.keeping()

    def __call__(self, row: Row) -> Row:
        if isinstance(row[ITEM], GLMImageError):
            return row
        try:
            return {ITEM: self.work(row[ITEM])}
        except (GLMImageError, OSError) as error:
            return {ITEM: GLMImageError(str(error))}

    def work(self, item: Any) -> Any:
        raise NotImplementedError


class JobPlanner(Worker):
    def work(self, item: Job) -> tuple[Job, RenderRequest]:
        (request,) = plan_jobs(self.model, [item], self.compute, loaders=self.loaders)
        return item, request


class JobDecoder(Worker):
    def __init__(self, tag: str, **options: Any):
        super().__init__(**options)
        self.tag = tag

    def work(self, item: tuple[Job, RenderRequest]) -> Drawing:
        job, request = item
        (drawing,) = render_jobs(self.model, [job], [request], self.compute, self.tag, loaders=self.loaders)
        return drawing


class OrderedWorker(Worker):
    """Calls ``answer`` for numbered values; ``on_cluster`` puts the answers in order by these numbers."""

    def work(self, item: tuple[int, Any]) -> tuple[int, Any]:
        return item[0], self.answer(item[1])

    def answer(self, value: Any) -> Any:
        raise NotImplementedError


class RequestPlanner(OrderedWorker):
    """Plans requests that belong to no picture, such as those of a rollout."""

    def answer(self, value: PlanRequest) -> Plan:
        (written,) = plan(self.model, [value], self.compute, loaders=self.loaders)
        return written


def draw_on_cluster(model: Path, jobs: Sequence[Job], compute: Compute, progress: Progress = no_progress,
                    pools: Pools = Pools()) -> Iterator[Job]:
    """As ``draw_jobs``, on a cluster: each job is given once its files are there, in the order of finishing.

    Every machine must have the pack and the model under the same paths. Raises GLMImageError if Ray is not installed,
    and as ``draw_jobs`` does.
    """
    if not jobs:
        return
    options = {"model": model.absolute(), "compute": compute, "threads": pools.threads}
    tag = model_tag(model, compute)
    with connected(pools), progress("draw", len(jobs), "prompt") as advance:
        planned = in_pool(items(jobs), JobPlanner, pools.planners, pools.gpus_per_planner, options)
        for drawing in results(in_pool(planned, JobDecoder, pools.decoders, pools.gpus_per_decoder,
                                       options | {"tag": tag})):
            yield drawing.save()
            advance()


def plan_on_cluster(model: Path, requests: Sequence[PlanRequest], compute: Compute, progress: Progress = no_progress,
                    pools: Pools = Pools()) -> list[Plan]:
    """As ``plan``, by the planners of a cluster, which load the model of this folder for every call."""
    with progress("plan", len(requests), "prompt") as advance:
        return on_cluster(RequestPlanner, requests, pools.planners, pools.gpus_per_planner, pools,
                          {"model": model.absolute(), "compute": compute}, advance)


def on_cluster(worker: type[OrderedWorker], values: Sequence[Any], size: int, gpus: float, pools: Pools,
               options: dict[str, Any], advance: Callable[[], object] = lambda: None) -> list[Any]:
    """The answers to all values, in their order, of a pool of ``size`` workers, each with ``gpus`` GPUs.

    options: keyword arguments of the worker, but for ``threads``. advance: called after each answer.
    Raises GLMImageError if Ray is not installed, and as a worker does.
    """
    if not values:
        return []
    answers: dict[int, Any] = {}
    with connected(pools):
        numbered = items(list(enumerate(values)))
        for i, answer in results(in_pool(numbered, worker, size, gpus, options | {"threads": pools.threads})):
            answers[i] = answer
            advance()
    return [answers[i] for i in range(len(values))]


@contextmanager
def connected(pools: Pools) -> Iterator[None]:
    """Connected to the cluster, or to the one that this process is connected to already."""
    if find_spec("ray") is None:
        raise GLMImageError("--ray needs Ray, which is not installed; pip install 'ray[data]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # otherwise Ray sends usage statistics
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray  # pyright: ignore[reportMissingImports]

    if ray.is_initialized():
        yield
        return
    here = {"num_cpus": pools.cpus, "include_dashboard": False} if pools.address == LOCAL else {}
    ray.init(pools.address, log_to_driver=False, logging_level=logging.ERROR, **here)
    try:
        yield
    finally:
        ray.shutdown()


def items(values: Sequence[Any]) -> Any:
    """A dataset with a block for each of the values, so that they are spread, held back and repeated one by one."""
    import ray.data  # pyright: ignore[reportMissingImports]

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray.data.from_items([{ITEM: value} for value in values], override_num_blocks=len(values))


def in_pool(rows: Any, worker: type[Worker], size: int, gpus: float, options: dict[str, Any]) -> Any:
    """The dataset after the work of a pool. Ray starts lost workers again and repeats their work."""
    from ray.data import ActorPoolStrategy  # pyright: ignore[reportMissingImports]

    return rows.map(worker, compute=ActorPoolStrategy(size=size), num_gpus=gpus,
                    num_cpus=0 if gpus else 1, fn_constructor_kwargs=options)


def results(rows: Any) -> Iterator[Any]:
    """What the last pool gives, as it comes. Raises the first error that a worker passed on."""
    for row in rows.iter_rows():
        if isinstance(row[ITEM], GLMImageError):
            raise row[ITEM]
        yield row[ITEM]
