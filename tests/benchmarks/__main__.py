"""This pack beside transformers and diffusers, in one run on the same random weights.

``python -m tests.benchmarks [--size cpu|full] [--json OUT] [--only SECTION] [--growth]``

Ours and the reference run in turns after a warm-up of each, with the same number of tokens and steps, the same type (float32 on a
CPU, bfloat16 on a GPU) and the released sampling settings; figures are medians. Machines are noisy: compare the ratios, which are
ours ÷ reference. The full size has the released config and wants a GPU of 48 GB or more.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import transformers

from glm_core.pipeline import Place

from .ahead import ahead_measures
from .decoder import dit_measures, vae_measures
from .growth import growth_tables
from .models import release
from .planner import planner_measures
from .report import Measure, heading, line, machine, write_json
from .sizes import SIZES, Size
from .timing import copy_bandwidth, matrix_rate
from .whole import image_measures, memory_measures

SECTIONS = "planner", "ahead", "dit", "vae", "image", "memory"


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="cpu", help="cpu, full, or tiny to try the script itself (default: cpu)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: cuda for the full size)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="keep all figures")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION",
                        help=f"{', '.join(SECTIONS)}; may be given several times (default: all)")
    parser.add_argument("--growth", action="store_true", help="times against the area of the picture, instead of the sections")
    return parser.parse_args(argv)


def sections(size: Size, place: Place, speeds: dict, note: Callable[[str], None]) -> dict[str, Callable[[], Iterator[Measure]]]:
    return {
        "planner": lambda: planner_measures(size, place, speeds["copy bandwidth"], note),
        "ahead": lambda: ahead_measures(size, place, note),
        "dit": lambda: dit_measures(size, place, speeds["matrix rate"], note),
        "vae": lambda: vae_measures(size, place, note),
        "image": lambda: image_measures(size, place),
        "memory": lambda: memory_measures(size, place),
    }


def measure_sections(names: list[str] | tuple[str, ...], size: Size, place: Place) -> dict:
    """Print the table, then the notes."""
    speeds = {"copy bandwidth": float(copy_bandwidth(size, place)), "matrix rate": float(matrix_rate(size, place))}
    print(f"copy bandwidth {speeds['copy bandwidth'] / 1e9:.1f} GB/s, matrix rate {speeds['matrix rate'] / 1e12:.3f} TFLOP/s")
    print(heading(("", "ours", "reference", "unit", "ratio", "target")), flush=True)
    notes, rows, took = [], [], {}
    for name in names:
        start = time.perf_counter()
        for measure in sections(size, place, speeds, notes.append)[name]():
            rows.append(measure.as_json(size.judged))
            print(line(measure.cells(size.judged)), flush=True)
        release()
        took[name] = time.perf_counter() - start
    print("", *notes, "took " + ", ".join(f"{name} {spent:.0f} s" for name, spent in took.items()), sep="\n")
    return {"speeds": speeds, "measures": rows, "notes": notes, "took": took}


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    size = SIZES[args.size]
    device = torch.device(args.device or size.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(f"error: --size {args.size} wants a GPU, but torch sees none", file=sys.stderr)
        return 1
    place = Place(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    transformers.logging.set_verbosity_error()
    facts = {"size": args.size, **machine(place)}
    print(*(f"{name} {value}" for name, value in facts.items()), sep=", ")
    found = {"growth": list(growth_tables(size, place))} if args.growth else measure_sections(args.only or SECTIONS, size, place)
    if args.json:
        write_json(args.json, {**facts, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
