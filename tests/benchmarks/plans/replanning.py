"""One item of a poster becomes another: its region is planned again under the prompt of the new poster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from glm_core.evaluation.suites.codes import CodeResult
from glm_core.planner import MARGIN, repair, replan
from glm_core.plans import Plan, grow, join, select
from glm_core.posters import GRID, Item, caption, item_cells

from .cases import SEEDS, WORD_CHANGES, Change, changes, first_seed
from .hard import judge_all
from .painting import texts_of_plan
from .planner import EmbeddedPlanner
from .table import Table

OTHER_SEEDS = 2**40  # what is planned again has other seeds than the first plan
COSTED = 40  # cases whose cost is taken, plan by plan
Region = Callable[[Tensor], Tensor]  # bool [B, h, w], the item's cells → what is planned again


def one_cell_right(region: Tensor) -> Tensor:
    """The region, bool [B, h, w], one column further to the right."""
    return torch.cat([torch.zeros_like(region[..., :1]), region[..., :-1]], dim=-1)


REGIONS: dict[str, Region] = {"mask on the item": lambda region: region, "mask one cell off": one_cell_right}


@dataclass(frozen=True)
class Start:
    """A change and the whole plans of its first poster.

    seed: of the case. plan: [B, ...]. runs: the number of each item's seed. verdicts: of each item.
    """

    change: Change
    seed: int
    plan: Plan
    runs: list[int]
    verdicts: list[CodeResult]

    @property
    def region(self) -> Tensor:
        """The cells of the item that changes, bool [B, h, w]."""
        return torch.stack([cells_of([verdict.found[self.change.index]]) for verdict in self.verdicts])

    @property
    def others(self) -> Tensor:
        """The cells of the other items, bool [B, h, w]."""
        index = self.change.index
        return torch.stack([cells_of([*verdict.found[:index], *verdict.found[index + 1 :]])
                            for verdict in self.verdicts])


def cells_of(items: Sequence[Item | None]) -> Tensor:
    """The cells that items cover, bool [h, w]."""
    region = torch.zeros(GRID, GRID, dtype=torch.bool)
    for item in items:
        if item:
            rows, columns = zip(*item_cells(item))
            region[list(rows), list(columns)] = True
    return region


def starts(planner: EmbeddedPlanner, set_name: str, number: int) -> Iterator[Start]:
    """All changes of a set with those of their first plans that are whole."""
    for i, change in enumerate(changes(set_name, number)):
        seed = first_seed(set_name, i)
        plan = planner.plan(caption(change.before), seed)
        verdicts = judge_all(plan, change.before)
        runs = [run for run, verdict in enumerate(verdicts) if verdict.whole]
        if runs:
            yield Start(change, seed, join([select(plan, run) for run in runs]), runs, [verdicts[run] for run in runs])


def measure_replanning(planner: EmbeddedPlanner, set_name: str, number: int,
                       margins: Sequence[tuple[int, int]] = (MARGIN,)) -> Iterator[Table]:
    table = Table("one item re-planned", note=f"{SEEDS} seeds of {number} changes; first plans that were not whole are "
                  "left out. A pair of letters is right if the texts that the decoder gets tell which is meant.")
    costs = Table("cost of re-planning one plan")
    for start in starts(planner, set_name, number):
        add_anew(table, planner, start)
        for margin in margins:
            for name, plan in replanned(planner, start, margin).items():
                row = f"{name}, margin {margin[0]}x{margin[1]}"
                add_verdicts(table, row, start, plan)
                add_verdicts(table, f"{row}, repaired", start, repaired(planner, start, plan))
                reach = grow(REGIONS[name](start.region), *margin)
                add_all(table, row, "beyond margin kept", start, is_same(plan, start.plan, ~reach))
        if start.seed < first_seed(set_name, COSTED):
            add_costs(costs, planner, start)
        yield from (table, costs)


def replanned(planner: EmbeddedPlanner, start: Start, margin: tuple[int, int] = MARGIN) -> dict[str, Plan]:
    """The plans again, one run per region of REGIONS; all in one batch."""
    regions = torch.cat([region(start.region) for region in REGIONS.values()])
    plan = replan(planner.writer, join([start.plan] * len(REGIONS)), regions, caption(start.change.after),
                  seed=start.seed + OTHER_SEEDS, margin=margin)
    return {name: select(plan, i * start.plan.batch, start.plan.batch) for i, name in enumerate(REGIONS)}


def repaired(planner: EmbeddedPlanner, start: Start, plan: Plan) -> Plan:
    """With what became unlikely beside the new item drawn again, such as letters that the new word makes ambiguous."""
    return repair(planner.writer, plan, caption(start.change.after), seed=start.seed + 2 * OTHER_SEEDS)


def add_anew(table: Table, planner: EmbeddedPlanner, start: Start) -> None:
    """Without the old plan, but with its seeds."""
    plan = planner.plan(caption(start.change.after), start.seed)
    kept = join([select(plan, run) for run in start.runs])
    add_verdicts(table, "planned anew", start, kept)


def add_verdicts(table: Table, row: str, start: Start, plan: Plan) -> None:
    change = start.change
    verdicts = judge_all(plan, change.after, texts_of_plan(plan))
    new = [verdict.found[change.index] is not None for verdict in verdicts]
    whole = [verdict.whole for verdict in verdicts]
    untouched = is_same(plan, start.plan, start.others)
    what = f"{'free' if change.is_free else 'grid'} words" if change.kind in WORD_CHANGES else "colours, kinds"
    add_all(table, row, "new item", start, new)
    add_all(table, row, what, start, new)
    add_all(table, row, change.kind, start, new)
    add_all(table, row, "whole", start, whole)
    add_all(table, row, "others untouched", start, untouched)
    add_all(table, row, "whole, others untouched", start, [a and b for a, b in zip(whole, untouched)])
    add_all(table, row, "tokens changed", start, (plan.ids != start.plan.ids).sum((1, 2)).tolist())


def is_same(plan: Plan, other: Plan, region: Tensor) -> list[bool]:
    """For each item, whether both plans have the same tokens in its region, bool [B, h, w]."""
    return ((plan.ids == other.ids) | ~region).flatten(1).all(1).tolist()


def add_all(table: Table, row: str, column: str, start: Start, values: Sequence[float]) -> None:
    """One value for each item, under the number of its seed."""
    for run, value in zip(start.runs, values, strict=True):
        table.add(row, column, run, value)


def add_costs(costs: Table, planner: EmbeddedPlanner, start: Start) -> None:
    for name, call in single_plans(planner, start).items():
        passes, seconds = planner.cost(call)
        costs.add(name, "passes", 0, passes)
        costs.add(name, "CPU seconds", 0, seconds)


def single_plans(planner: EmbeddedPlanner, start: Start) -> dict[str, Callable[[], Plan]]:
    """What makes one plan of the new poster: anew, and from the old plan for each of REGIONS."""
    prompt, plan = caption(start.change.after), select(start.plan, 0)
    again = {name: partial(replan, planner.writer, plan, region(start.region[:1]), prompt)
             for name, region in REGIONS.items()}
    return {"planned anew": partial(planner.plan, prompt, start.seed, batch=1), **again}
