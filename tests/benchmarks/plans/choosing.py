"""Hard prompts: the best of many plans, repaired ones, and pictures of which the wrong ones are drawn again.

Plans are judged by codes, pictures by the nearest drawn letters (``letters.py``), which had no part in choosing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from glm_core.planner import Sampling, repair
from glm_core.plans import Plan, best_plans, select
from glm_core.posters import Poster, caption

from .cases import SEEDS, SETS, hard_posters, texts_of
from .hard import SAMPLINGS, add_verdict, judge_all
from .letters import words_shown
from .painting import Painter, WordReader
from .planner import EmbeddedPlanner
from .replanning import COSTED, OTHER_SEEDS
from .table import Table

MOST, FEW = 8, 4  # plans of which the best is taken: as they are, and repaired
DRAWN = 24  # prompts whose plans are drawn, too
DEFAULT, ONE = "default", "one plan"  # of SAMPLINGS and of the ways: what is drawn again if it is wrong


def choose(planner: EmbeddedPlanner, prompt: str, seed: int, sampling: Sampling) -> dict[str, Plan]:
    """One plan by each way; the seeds of the plans follow one another."""
    plans = planner.plan(prompt, seed, sampling, MOST)
    repaired = repair(planner.writer, select(plans, 0, FEW), prompt, seed=seed + OTHER_SEEDS)
    return {ONE: select(plans, 0), f"best of {MOST}": best_plans(plans, 1)[0],
            "repaired": select(repaired, 0), f"best of {FEW}, repaired": best_plans(repaired, 1)[0]}


def plan_again(planner: EmbeddedPlanner, prompt: str, seed: int) -> Plan:
    """What the workflow redo_wrong_once plans in place of a wrong picture."""
    return best_plans(planner.plan(prompt, seed + 2 * OTHER_SEEDS, batch=MOST), 1)[0]


@dataclass(frozen=True)
class Seen:
    """shown: which words a picture shows, by the nearest letters. read: whether the OCR reads all of them."""

    shown: list[bool]
    read: bool


class Pictures:
    """What is seen in pictures of plans for a poster. Plans with the same tokens and noise are drawn once."""

    def __init__(self, poster: Poster, painter: Painter, reader: WordReader):
        self.poster, self.painter, self.reader = poster, painter, reader
        self.seen: dict[tuple[int, ...], Seen] = {}

    def see(self, plan: Plan, seed: int) -> Seen:
        """seed: of the noise."""
        key = seed, *plan.ids.flatten().tolist()
        if key not in self.seen:
            pixels = self.painter.draw(plan, 0, texts_of(self.poster), seed).pixels
            read = self.reader.words(pixels, [word.text for word in self.poster.words])
            self.seen[key] = Seen(words_shown(pixels, self.poster), all(read))
        return self.seen[key]


def measure_choosing(planner: EmbeddedPlanner, set_name: str, number: int) -> Iterator[Table]:
    plans, drawn = Table("hard prompts, chosen plans"), Table("hard prompts, pictures of chosen plans")
    costs, painter, reader = Table("cost of choosing one plan"), Painter(), WordReader()
    for i, poster in enumerate(hard_posters(set_name, number)):
        prompt, pictures = caption(poster), Pictures(poster, painter, reader)
        first = SETS[set_name] + MOST * SEEDS * i
        for run, seed in enumerate(range(first, first + MOST * SEEDS, MOST)):
            chosen = {(name, way): plan for name, sampling in SAMPLINGS.items()
                      for way, plan in choose(planner, prompt, seed, sampling).items()}
            for (name, way), plan in chosen.items():
                add_verdict(plans, f"{name}, {way}", run, *judge_all(plan, poster))
                if i < DRAWN:
                    add_picture(drawn, f"{name}, {way}", run, plan, pictures.see(plan, seed), poster)
            if i < DRAWN:
                add_redrawn(drawn, planner, pictures, run, chosen[DEFAULT, ONE], seed)
        if i < COSTED:
            add_costs(costs, planner, prompt, first)
        yield from (plans, drawn, costs)


def add_picture(table: Table, row: str, run: int, plan: Plan, seen: Seen, poster: Poster) -> None:
    add_verdict(table, row, run, *judge_all(plan, poster))
    table.add(row, "words shown", run, *seen.shown)
    table.add(row, "all words shown", run, all(seen.shown))
    table.add(row, "all words read", run, seen.read)


def add_redrawn(table: Table, planner: EmbeddedPlanner, pictures: Pictures, run: int, plan: Plan, seed: int) -> None:
    """Planned and drawn again if the OCR reads a word wrong."""
    if not pictures.see(plan, seed).read:
        plan, seed = plan_again(planner, caption(pictures.poster), seed), seed + OTHER_SEEDS
    row = f"{DEFAULT}, {ONE}, wrong ones drawn again"
    add_picture(table, row, run, plan, pictures.see(plan, seed), pictures.poster)


def add_costs(table: Table, planner: EmbeddedPlanner, prompt: str, seed: int) -> None:
    for name, sampling in SAMPLINGS.items():
        plan = partial(planner.plan, prompt, seed, sampling)
        one, few = plan(1), plan(FEW)
        calls: dict[str, Callable[[], object]] = {
            "one plan": partial(plan, 1), f"{FEW} plans": partial(plan, FEW), f"{MOST} plans": partial(plan, MOST),
            "repair of one": partial(repair, planner.writer, one, prompt),
            f"repair of {FEW}": partial(repair, planner.writer, few, prompt)}
        for call_name, call in calls.items():
            passes, seconds = planner.cost(call)
            table.add(f"{name}, {call_name}", "passes", 0, passes)
            table.add(f"{name}, {call_name}", "CPU seconds", 0, seconds)
