"""Pictures an hour on many GPUs: a simulation of glm_core/pipeline/cluster.py.

``python -m tests.benchmarks.scale`` prints the tables of docs/scale.md, which says what was measured of the times here.
Prompts, a pool of planners, plans, a pool of decoders, pictures, and one process that writes them: each takes the next
as soon as it is free. Nothing is random.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

HOUR = 3600
GPUS = 1, 8, 64, 512, 1024


@dataclass(frozen=True)
class Costs:
    """What one picture takes, in seconds, and how long the models take to load.

    writer: of the process that collects and writes all pictures. planner_gb, decoder_gb: files of a worker.
    disk, storage: GB a second that one machine reads, and that all machines together read.
    """

    planner: float
    decoder: float
    writer: float = 0.016
    planner_gb: float = 16.5
    decoder_gb: float = 15.5
    gpus_per_machine: int = 8
    disk: float = 2.0
    storage: float = 20.0

    def load(self, gigabytes: float, gpus: int) -> float:
        """Seconds until every machine has read a file; its workers share what it has read."""
        machines = -(-gpus // self.gpus_per_machine)
        return gigabytes / min(self.disk, self.storage / machines)


@dataclass(frozen=True)
class Pools:
    planners: int
    decoders: int

    @property
    def gpus(self) -> int:
        return self.planners + self.decoders


@dataclass(frozen=True)
class Outcome:
    """Pictures written in the first hour, which begins with loading, and in the second."""

    first: int
    second: int


CASES = {
    "this pack, one plan at a time (estimate)": Costs(planner=9.2, decoder=13.1),
    "this pack, 8 plans of a prompt at a time (estimate)": Costs(planner=1.5, decoder=13.1),
    "other programs (measured by others)": Costs(planner=19.0, decoder=27.7),
}


def through(ready: Iterable[float], workers: int, seconds: float, start: float = 0.0) -> Iterable[float]:
    """When a pool has finished each of the items, which are ready at these times and taken in their order."""
    free = [start] * workers
    for time in ready:
        done = max(time, free[0]) + seconds
        heapq.heapreplace(free, done)
        yield done


def simulate(pools: Pools, costs: Costs) -> Outcome:
    """Two hours with as many prompts as the pools can take."""
    prompts = int(2 * HOUR * min(pools.planners / costs.planner, pools.decoders / costs.decoder)) + pools.gpus
    planned = through([0.0] * prompts, pools.planners, costs.planner, costs.load(costs.planner_gb, pools.gpus))
    drawn = through(planned, pools.decoders, costs.decoder, costs.load(costs.decoder_gb, pools.gpus))
    return count(through(drawn, 1, costs.writer))


def simulate_one(costs: Costs) -> Outcome:
    """One GPU that holds both models and does one after the other."""
    load = costs.load(costs.planner_gb + costs.decoder_gb, 1)
    return count(through([0.0] * HOUR, 1, costs.planner + costs.decoder, load))


def count(written: Iterable[float]) -> Outcome:
    times = list(written)
    return Outcome(sum(time <= HOUR for time in times), sum(HOUR < time <= 2 * HOUR for time in times))


def best_pools(gpus: int, costs: Costs) -> Pools:
    """The split with which the slower of the two pools is fastest."""
    splits = [Pools(planners, gpus - planners) for planners in range(1, gpus)]
    return max(splits, key=lambda pools: min(pools.planners / costs.planner, pools.decoders / costs.decoder))


def pace(pools: Pools, costs: Costs) -> str:
    """Which of the stages is slowest."""
    rates = {"planners": pools.planners / costs.planner, "decoders": pools.decoders / costs.decoder,
             "writing": 1 / costs.writer}
    return min(rates, key=lambda stage: rates[stage])


def row(gpus: int, costs: Costs) -> str:
    if gpus == 1:
        one = simulate_one(costs)
        return f"| 1 | both on it | {one.first:,} | {one.second:,} | 1.00 | the GPU |"
    pools = best_pools(gpus, costs)
    outcome = simulate(pools, costs)
    share = outcome.second / (gpus * HOUR / (costs.planner + costs.decoder))
    cells = (f"{gpus:,}", f"{pools.planners} + {pools.decoders}", f"{outcome.first:,}", f"{outcome.second:,}",
             f"{share:.2f}", pace(pools, costs))
    return f"| {' | '.join(cells)} |"


def table(title: str, costs: Costs, gpus: Iterable[int] = GPUS) -> str:
    """A row for each number of GPUs."""
    return "\n".join([f"{title}: planner {costs.planner} s, decoder {costs.decoder} s an image", "",
                      "| GPUs | planners + decoders | first hour | second hour | of the ideal | slowest |",
                      "|---|---|---|---|---|---|", *(row(number, costs) for number in gpus)])


def main() -> None:
    for title, costs in CASES.items():
        print(table(title, costs), end="\n\n")


if __name__ == "__main__":
    main()
