"""evaluate, or benchmark posters: prompts → pictures → figures."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from ..benchmark import figures_in_columns
from ..checkpoint import DIFFUSION, GLYPH, PLANNER, VAE
from ..errors import GLMImageError
from ..evaluation import ABLATIONS, measure_pictures, picture_jobs, read_pictures
from ..evaluation.suites import posters
from ..ocr import Reader, make_reader
from ..pipeline import Compute, PlanRequest, check_aspect, contact_sheet
from ..pipeline.requests import check_count
from .files import Writer, check_files, check_out_folder, check_picture_suffix
from .many import draw_many
from .options import (
    RAY_OPTIONS,
    HelpFormatter,
    Subparsers,
    add_drawing,
    add_many,
    add_model,
    check_needs,
    check_parts,
    choose_compute,
    plan_request,
    progress_bar,
    render_settings,
    report,
)

OPTIONS_OF_A_FOLDER = "resume", "part"
# values in argparse's namespace that do not change the figures
NOT_SETTINGS = ("command", "benchmark", "run", "json", "sheet", "pictures", "chunk", "ray", *RAY_OPTIONS,
                *OPTIONS_OF_A_FOLDER)


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser(
        "evaluate", help="generate images, read them with OCR, and count correct words and shapes; short for "
        "benchmark posters", formatter_class=HelpFormatter)
    add_options(command)


def add_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add_model(command)
    add("--prompts", type=Path, required=True, metavar="FILE.jsonl",
        help="one JSON object per line: prompt, texts, and optionally shapes and images")
    add("--json", type=Path, metavar="OUT", help="write all figures, the settings, and what each image shows")
    add("--sheet", type=Path, metavar="FILE.png", help="write a sheet of all images with their prompts")
    add("--without", choices=ABLATIONS,
        help="disable one component (an ablation): plan (each prompt is rendered with the plan of the next one), "
        "glyphs (no quoted text is encoded) or preview (plans have no preview grid)")
    add("--limit", type=int, metavar="N", help="evaluate only the first N prompts")
    add_drawing(command)
    add("--pictures", type=Path, metavar="DIR", help="keep the images in this folder")
    add_many(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.limit is not None:
        check_count("limit", args.limit)
    check_needs(args, "pictures", OPTIONS_OF_A_FOLDER)
    check_no_figures(args, ("json", "sheet"))
    template, settings = plan_request(args, prompt=""), render_settings(args)
    compute = choose_compute(args.device, args.dtype, is_here=not args.ray)
    check_all_files(args, ())
    tasks = posters.tasks(args.prompts, args.limit)
    check_all_files(args, [path for task in tasks for path in task.images])
    check_parts(args.model, (PLANNER, GLYPH, DIFFUSION, VAE))
    check_aspect(args.model, template.width, template.height)
    with pictures_folder(args) as folder:
        jobs = picture_jobs(tasks, template, settings, folder, args.without)
        if args.part:
            draw_many(args, jobs, compute)
            report(f"{args.pictures}: part {args.part.number}/{args.part.count} is drawn; once all are, give --resume "
                   "without --part for the figures")
            return
        reader = make_reader()
        draw_many(args, jobs, compute)
        pictures = read_pictures(jobs)
    write_figures(args, tasks, pictures, reader, used_settings(args, template, compute))


@contextmanager
def pictures_folder(args: argparse.Namespace) -> Iterator[Path]:
    """The folder of --pictures, or a temporary one."""
    if args.pictures:
        yield args.pictures
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)


def write_figures(args: argparse.Namespace, tasks: Sequence[posters.PosterTask], pictures: Sequence[Image.Image],
                  reader: Reader, settings: dict) -> None:
    """Print what the pictures show, and write the sheet and the JSON file."""
    writer = Writer()
    if args.sheet:  # kept if reading fails
        writer.write(args.sheet, lambda path: write_sheet(path, pictures, [[task.prompt] for task in tasks]))
    results = measure_pictures(posters.measure, tasks, pictures, reader, progress_bar)
    figures = posters.summary(results)
    if args.without == "plan":
        figures |= posters.plan_figures(tasks, pictures)
    report(figures_in_columns(figures))
    if args.json:
        writer.write(args.json, lambda path: write_results(path, figures, settings, results))
    if args.sheet:
        writer.write(args.sheet, lambda path: write_sheet(path, pictures, captions(results)))
    writer.finish()


def check_no_figures(args: argparse.Namespace, options: Sequence[str]) -> None:
    """Raise GLMImageError if a part of the pictures is to be drawn, and figures of all are to be written."""
    for option in options:
        if args.part and getattr(args, option):
            raise GLMImageError(f"--{option} must come without --part, which only draws (got both); give --resume "
                                "instead once all parts are drawn")


def check_all_files(args: argparse.Namespace, images: Sequence[Path]) -> None:
    if args.sheet:
        check_picture_suffix("--sheet", args.sheet)
    if args.pictures:
        check_out_folder("--pictures", args.pictures)
    outputs = [(option, path) for option, path in (("--json", args.json), ("--sheet", args.sheet)) if path]
    check_files(outputs, [("--prompts", args.prompts), *(("a reference image", path) for path in images)])


def used_settings(args: argparse.Namespace, template: PlanRequest, compute: Compute) -> dict:
    """Every option by name; size, device and dtype as they were chosen if the options leave them open."""
    settings = {name: value for name, value in vars(args).items() if name not in NOT_SETTINGS}
    settings |= {"width": template.width, "height": template.height, "device": str(compute.device)}
    settings["dtype"] = str(compute.dtype).removeprefix("torch.")
    return {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}


def write_results(path: Path, figures: dict, settings: dict, results: Sequence[posters.PosterResult]) -> None:
    data = figures | {"settings": settings, "pictures": [result.to_json() for result in results]}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")


def captions(results: Sequence[posters.PosterResult]) -> list[list[str]]:
    return [[result.task.prompt, f"read: {' '.join(result.read) or '-'}"] for result in results]


def write_sheet(path: Path, pictures: Sequence[Image.Image], captions: Sequence[Sequence[str]]) -> None:
    contact_sheet(pictures, captions).save(path)
