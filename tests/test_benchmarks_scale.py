"""The simulation of many GPUs: cases that can be reckoned by hand, and its tables in the docs."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.scale import CASES, HOUR, Costs, Pools, best_pools, pace, simulate, simulate_one, table, through

DOCS = Path(__file__).parents[1] / "docs" / "scale.md"
INSTANT = Costs(planner=2, decoder=4, writer=0, planner_gb=0, decoder_gb=0)


def test_a_pool_takes_the_next_item_as_soon_as_a_worker_is_free():
    assert list(through([0, 0, 0, 9], 2, 3.0)) == [3, 3, 6, 12]
    assert list(through([0, 0, 1], 1, 2.0, start=5)) == [7, 9, 11]


def test_the_slower_pool_sets_the_pace():
    """One planner gives a plan every 2 seconds; two decoders of 4 seconds keep up, one does not."""
    assert simulate(Pools(1, 2), INSTANT).second == HOUR / 2 and simulate(Pools(1, 1), INSTANT).second == HOUR / 4
    assert simulate(Pools(1, 2), INSTANT).first == HOUR / 2 - 2  # the first picture is there after 6 seconds
    assert simulate(Pools(1, 9), replace(INSTANT, writer=3)).second == HOUR / 3
    assert simulate_one(INSTANT).first == simulate_one(INSTANT).second == HOUR / 6


def test_loading_takes_the_longer_the_more_machines_share_the_storage():
    costs = Costs(planner=1, decoder=1, disk=2, storage=20)
    assert [costs.load(16, gpus) for gpus in (1, 8, 80, 81, 160)] == [8, 8, 8, pytest.approx(8.8), 16]
    assert simulate(Pools(1, 2), replace(INSTANT, planner_gb=100)).first == HOUR / 2 - 2 - 25


@pytest.mark.parametrize("gpus, expected", [(2, Pools(1, 1)), (3, Pools(1, 2)), (9, Pools(3, 6))])
def test_the_best_split_is_that_of_the_times(gpus, expected):
    assert best_pools(gpus, INSTANT) == expected
    assert pace(expected, replace(INSTANT, writer=9)) == "writing"


def test_the_docs_have_the_tables():
    docs = DOCS.read_text(encoding="utf-8")
    assert all(line in docs for title, costs in CASES.items() for line in table(title, costs).splitlines()[2:])
