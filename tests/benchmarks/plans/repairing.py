"""Plans of hard prompts, in which only what the planner itself finds unlikely is drawn again."""

from collections.abc import Iterator
from functools import partial

from glm_core.evaluation.suites.codes import CodeResult
from glm_core.planner import repair
from glm_core.planner.score import written_tokens
from glm_core.plans import Plan
from glm_core.posters import caption

from .cases import first_seed, hard_posters
from .hard import SAMPLINGS, add_verdict, judge_all
from .planner import EmbeddedPlanner
from .replanning import COSTED, OTHER_SEEDS
from .table import Table


def measure_repair(planner: EmbeddedPlanner, set_name: str, number: int) -> Iterator[Table]:
    table, costs = Table("hard prompts, repaired"), Table("cost of repairing one plan")
    for i, poster in enumerate(hard_posters(set_name, number)):
        prompt, seed = caption(poster), first_seed(set_name, i)
        for name, sampling in SAMPLINGS.items():
            plan = planner.plan(prompt, seed, sampling)
            repaired = repair(planner.writer, plan, prompt, seed=seed + OTHER_SEEDS)
            before, after = judge_all(plan, poster), judge_all(repaired, poster)
            for run, pair in enumerate(zip(before, after)):
                add_pair(table, name, run, *pair)
            add_changes(table, f"{name}, repaired", plan, repaired)
        if i < COSTED:
            add_cost(costs, planner, prompt, seed)
        yield from (table, costs)


def add_pair(table: Table, sampling: str, run: int, before: CodeResult, after: CodeResult) -> None:
    """A plan and the repaired one. It is mended or spoiled by its words, and also as a whole."""
    add_verdict(table, sampling, run, before)
    row = f"{sampling}, repaired"
    add_verdict(table, row, run, after)
    table.add(row, "spoiled words" if all(before.words) else "mended words", run,
              all(before.words) != all(after.words))
    table.add(row, "spoiled wholes" if before.whole else "mended wholes", run, before.whole != after.whole)


def add_changes(table: Table, row: str, plan: Plan, repaired: Plan) -> None:
    """Tokens that the repair changed, in the coarse grid and the target."""
    changed = (written_tokens(plan) != written_tokens(repaired)).float().mean(1)
    for run, share in enumerate(changed.tolist()):
        table.add(row, "tokens, %", run, 100 * share)


def add_cost(costs: Table, planner: EmbeddedPlanner, prompt: str, seed: int) -> None:
    calls = {"plan": partial(planner.plan, prompt, seed, batch=1)}
    for name, sampling in SAMPLINGS.items():
        calls[f"repair, {name}"] = partial(repair, planner.writer, planner.plan(prompt, seed, sampling, 1), prompt)
    for name, call in calls.items():
        passes, seconds = planner.cost(call)
        costs.add(name, "passes", 0, passes)
        costs.add(name, "CPU seconds", 0, seconds)
