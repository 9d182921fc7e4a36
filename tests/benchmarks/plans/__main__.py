"""Operations on plans of the embedded model, on words that no training prompt has.

``python -m tests.benchmarks.plans [--set report|choose] [--only SECTION] [--cases N] [--json OUT]``

Plans are judged by the codes of their cells (``glm_core/evaluation/suites/codes.py``), pictures by OCR and by their
shapes, or by the nearest drawn letters (``letters.py``) where OCR chose among them. Thresholds are chosen on the set
"choose" and reported on the set "report". Three seeds; each cell is the mean over all of them, in brackets the lowest
and highest mean of a seed. The JSON has Wilson intervals as well.
It runs on one thread of a CPU.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from tests.support.json_files import write_json

from ..report import machine
from .cases import SETS
from .choosing import measure_choosing
from .composing import measure_joins, measure_moves
from .drafting import measure_drafts
from .hard import best_of_many
from .padding import measure_padding
from .planner import CPU, EmbeddedPlanner
from .redrawing import measure_redrawing
from .repairing import measure_repair
from .replanning import MARGIN, measure_replanning
from .table import Table

CASES = {"replan": 252, "redraw": 120, "repair": 160, "move": 120, "join": 96, "pad": 96, "drafts": 100, "best": 160,
         "choose": 200}


def margin(text: str) -> tuple[int, int]:
    rows, columns = map(int, text.split("x"))
    return rows, columns


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.plans", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="report", help="(default: report)")
    parser.add_argument("--cases", type=int, metavar="N", help="of each section (default: from 96 to 252, by section)")
    parser.add_argument("--only", action="append", choices=CASES, metavar="SECTION",
                        help=f"one of {', '.join(CASES)}; repeat for several (default: all)")
    parser.add_argument("--margin", action="append", type=margin, metavar="ROWSxCOLUMNS",
                        help="of section replan; repeat for several (default: that of the node)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all tables to this file, as they come")
    return parser.parse_args(argv)


def section(name: str, planner: EmbeddedPlanner, args: argparse.Namespace) -> Iterator[Table]:
    """The tables of one section, which grow from case to case: all of them after every case."""
    number = args.cases or CASES[name]
    measures: dict[str, Callable[[], Iterator[Table]]] = {
        "replan": lambda: measure_replanning(planner, args.set, number, args.margin or [MARGIN]),
        "redraw": lambda: measure_redrawing(planner, args.set, number),
        "repair": lambda: measure_repair(planner, args.set, number),
        "move": lambda: measure_moves(planner, args.set, number),
        "join": lambda: measure_joins(planner, args.set, number),
        "pad": lambda: measure_padding(planner, args.set, number),
        "drafts": lambda: measure_drafts(planner, args.set, number),
        "best": lambda: best_of_many(planner, args.set, number),
        "choose": lambda: measure_choosing(planner, args.set, number),
    }
    return measures[name]()


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    torch.set_num_threads(1)  # more only wait for each other: a pass of the embedded planner takes a millisecond
    planner, facts = EmbeddedPlanner(), {"set": args.set, **machine(CPU)}
    print(*(f"{name} {value}" for name, value in facts.items()), sep=", ")
    results: dict = {**facts, "tables": {}, "took": {}}
    for name in args.only or CASES:
        start = time.perf_counter()
        tables: dict[str, Table] = {}
        for table in section(name, planner, args):
            tables[table.title] = table
            results["tables"][table.title] = table.as_json()
            results["took"][name] = time.perf_counter() - start
            if args.json:
                write_json(args.json, results)
        for table in tables.values():
            print(*table.lines(), sep="\n")
        print(f"\n{name} took {results['took'][name]:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
