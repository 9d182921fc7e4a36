"""benchmark: official prompts → pictures → official metrics, beside the published figures."""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from ..benchmark import (
    CVTG,
    DPG,
    Benchmark,
    Case,
    Drawing,
    LongText,
    OneIGText,
    Outcome,
    Reader,
    draw_missing,
    judge_reader,
    measure,
    missing_cases,
    ocr_reader,
    page,
    table,
)
from ..checkpoint import DIFFUSION, GLYPH, PLANNER, VAE
from ..errors import GLMImageError
from ..pipeline import check_aspect
from ..pipeline.requests import check_count
from . import evaluate
from .files import Writer, check_files, check_out_folder
from .many import drawer
from .options import (
    MODEL_HELP,
    HelpFormatter,
    Subparsers,
    add_drawing,
    add_many,
    check_parts,
    choose_compute,
    model_folder,
    plan_request,
    progress_bar,
    render_settings,
    report,
)

BENCHMARKS = {"cvtg-2k": CVTG, "longtext": LongText, "dpg": DPG, "oneig-text": OneIGText}
IMAGES_PER_PROMPT = {"longtext": None, "dpg": (1, 4), "oneig-text": (1, 4)}  # those accepted; None: any number
WITH_LANGUAGES = "longtext", "oneig-text"
LONGEST_WAIT = 24 * 60 * 60  # seconds
HELP = {
    "cvtg-2k": "quoted words of 2000 English prompts, read by OCR",
    "longtext": "long texts in English or Chinese, read by OCR or a judge",
    "dpg": "what 1065 long prompts describe, checked by a judge with yes/no questions",
    "oneig-text": "text rendering of OneIG-Bench in English or Chinese, read by OCR or a judge",
}


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser(
        "benchmark", help="draw the prompts of a published benchmark and compute its metrics",
        description="Draw the prompts of a published benchmark and compute its metrics. Nothing is downloaded: "
        "docs/benchmarks.md says where the files come from.")
    benchmarks = command.add_subparsers(dest="benchmark", required=True)
    for name, text in HELP.items():
        add_benchmark(benchmarks.add_parser(name, help=text, formatter_class=HelpFormatter), name)
    posters = benchmarks.add_parser("posters", help="the same as the command evaluate: words and shapes of prompts of "
                                    "your own, read by OCR", formatter_class=HelpFormatter)
    evaluate.add_options(posters)


def add_benchmark(command: argparse.ArgumentParser, name: str) -> None:
    add = command.add_argument
    own_folder = default_folder(name, "en" if name in WITH_LANGUAGES else None)
    add("--data", type=Path, required=True, metavar="DIR", help="folder with the official files of the benchmark")
    add("--pictures", type=Path, metavar="DIR",
        help="folder of the pictures, named as the official scorer expects; pictures that are there already are only "
        f"scored, missing ones are drawn (default: {own_folder} in the current folder)")
    add("--model", type=model_folder, metavar="DIR",
        help=f"model that draws missing pictures: {MODEL_HELP}; not needed if none is missing")
    add("--limit", type=int, metavar="N",
        help="only the first N prompts" + (" of each of the eight files" if name == "cvtg-2k" else ""))
    if name in WITH_LANGUAGES:
        add("--language", choices=("en", "zh"), default="en", help="prompts in English or Chinese")
    if name in IMAGES_PER_PROMPT:
        add("--copies", type=int, choices=IMAGES_PER_PROMPT[name], default=4, metavar="N",
            help="number of images for each prompt" + ("" if name == "longtext" else ", 1 or 4, in one file"))
        add_judge(command, name)
    add("--corrected", action="store_true",
        help="correct obvious mistakes of the official code, which are listed below the table")
    add("--json", type=Path, metavar="OUT", help="write all figures, the settings, and the results of each picture")
    add("--report", type=Path, metavar="FILE.html", help="write a web page of all pictures, the worst first")
    add_drawing(command)
    add_many(command, "continue an interrupted run; answers that are kept beside the pictures (answers.jsonl) are "
             "used again")
    command.set_defaults(run=run)


def add_judge(command: argparse.ArgumentParser, name: str) -> None:
    add = command.add_argument
    without = "no figures are computed" if name == "dpg" else "RapidOCR reads the pictures"
    add("--judge", metavar="URL",
        help="OpenAI-compatible server, such as http://localhost:8000/v1, whose vision-language model reads the "
        f"pictures; URL#MODEL if it offers several models. The pictures are sent there. Without --judge, {without}")
    add("--judge-timeout", type=float, default=120.0, metavar="SECONDS", help="how long to wait for the judge")
    add("--judge-at-once", type=int, default=4, metavar="N", help="number of questions to the judge at the same time")


def default_folder(name: str, language: str | None) -> Path:
    return Path("-".join(filter(None, ("benchmark", name, language))))


def run(args: argparse.Namespace) -> None:
    if args.limit is not None:
        check_count("limit", args.limit)
    benchmark = make_benchmark(args)
    folder = args.pictures or default_folder(args.benchmark, getattr(args, "language", None))
    evaluate.check_no_figures(args, ("json", "report"))
    check_all_files(args, folder)
    cases = benchmark.read(args.data, args.limit)
    check_pictures(args, folder, cases)
    reader = None if args.part else make_reader(args, benchmark)
    if missing_cases(folder, cases):
        draw(args, folder, cases)
    if args.part:
        report(evaluate.PART_DRAWN.format(folder, args.part))
        return
    outcome = measure(benchmark, cases, folder, reader, args.resume, progress_bar)
    outcome = replace(outcome, notes=(*own_notes(args, reader), *outcome.notes))
    report(table(outcome))
    write_files(args, outcome, folder)


def own_notes(args: argparse.Namespace, reader: Reader | None) -> list[str]:
    notes = [] if reader else ["no figures without --judge"]
    return notes if args.limit is None else [*notes, f"--limit {args.limit}: only some of the prompts"]


def make_benchmark(args: argparse.Namespace) -> Benchmark:
    given = {name: getattr(args, name) for name in ("language", "copies", "corrected") if hasattr(args, name)}
    check_count("copies", given.get("copies", 1))
    return BENCHMARKS[args.benchmark](**given)


def check_all_files(args: argparse.Namespace, folder: Path) -> None:
    """Raise GLMImageError unless all outputs can be written."""
    check_out_folder("--pictures", folder)
    check_files([(option, path) for option, path in (("--json", args.json), ("--report", args.report)) if path])


def check_pictures(args: argparse.Namespace, folder: Path, cases: list[Case]) -> None:
    """Raise GLMImageError if an unnamed folder has pictures already, if missing ones cannot be drawn, or if two have
    one name.
    """
    for name, count in Counter(case.name for case in cases).items():
        if count > 1:
            raise GLMImageError(f"--data {args.data}: every prompt must have a number of its own "
                                f"(got {count} for {name})")
    missing = missing_cases(folder, cases)
    if not (args.pictures or args.resume or args.part) and len(missing) < len(cases):
        raise GLMImageError(f"{folder} must have no pictures of an earlier run (got {len(cases) - len(missing)}); "
                            "add --resume to continue that run, or choose another folder with --pictures")
    if missing and args.model is None:
        raise GLMImageError(f"--model must be given if pictures are missing ({len(missing)} of {len(cases)} are; "
                            f"the first is {folder / missing[0].name})")


def make_reader(args: argparse.Namespace, benchmark: Benchmark) -> Reader | None:
    if getattr(args, "judge", None):
        check_count("judge-at-once", args.judge_at_once)
        if not 0 < args.judge_timeout <= LONGEST_WAIT:
            raise GLMImageError(f"--judge-timeout must be more than 0 and at most {LONGEST_WAIT} "
                                f"(got {args.judge_timeout:g})")
        return judge_reader(args.judge, args.judge_timeout, args.judge_at_once)
    return None if benchmark.needs_judge else ocr_reader()


def draw(args: argparse.Namespace, folder: Path, cases: list[Case]) -> None:
    template, settings = plan_request(args, prompt=""), render_settings(args)
    compute = choose_compute(args.device, args.dtype, is_here=not args.ray)
    check_parts(args.model, (PLANNER, GLYPH, DIFFUSION, VAE))
    check_aspect(args.model, template.width, template.height)
    drawing = Drawing(args.model, template, settings, compute)
    draw_missing(folder, cases, drawing, drawer(args, compute), args.part, progress_bar)


def write_files(args: argparse.Namespace, outcome: Outcome, folder: Path) -> None:
    writer = Writer()
    if args.json:
        settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()
                    if name not in evaluate.NOT_SETTINGS}
        text = json.dumps(outcome.to_json() | {"settings": settings}, indent=1, ensure_ascii=False)
        writer.write(args.json, lambda path: path.write_text(text, encoding="utf-8"))
    if args.report:
        writer.write(args.report, lambda path: path.write_text(page(outcome, folder, path), encoding="utf-8"))
    writer.finish()
