"""Miniature files in the official layouts of the benchmarks, and pictures for them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

DPG_COLUMNS = ("item_id", "text", "keywords", "proposition_id", "dependency", "category_broad", "category_detailed",
               "tuple", "question_natural_language")


def write_cvtg(folder: Path, prompts: Sequence[str], style: Sequence[str] = ()) -> Path:
    """CVTG-2K with these prompts in CVTG/2.json and CVTG-Style/3.json; its other files have none."""
    for part in ("CVTG", "CVTG-Style"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for count in (2, 3, 4, 5):
            here = prompts if (part, count) == ("CVTG", 2) else style if (part, count) == ("CVTG-Style", 3) else ()
            entries = [{"index": i, "prompt": prompt, "carrier_list": []} for i, prompt in enumerate(here)]
            (folder / part / f"{count}.json").write_text(json.dumps({"data_list": entries}), encoding="utf-8")
    return folder


def write_longtext(folder: Path, texts: Sequence[Sequence[str]], language: str = "en") -> Path:
    """LongText-Bench with a prompt for each of these lists of texts; the numbers of the prompts have a gap."""
    lines = [{"category": "sign", "length": "short", "prompt": f"A sign: {' '.join(some)}", "text": list(some),
              "text_length": 1, "prompt_id": 3 * i} for i, some in enumerate(texts)]
    folder.mkdir(parents=True, exist_ok=True)
    name = "text_prompts.jsonl" if language == "en" else "text_prompts_zh.jsonl"
    (folder / name).write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    return folder


def write_oneig(folder: Path, contents: Sequence[str], language: str = "en") -> Path:
    """The table of OneIG-Bench's text rendering with these values of text_content."""
    name, prompt = {"en": ("text_content.csv", "prompt_en"), "zh": ("text_content_zh.csv", "prompt_cn")}[language]
    (folder / "scripts" / "text").mkdir(parents=True)
    rows = [(i, f"{i:03d}", f"prompt {i}", content) for i, content in enumerate(contents)]
    write_table(folder / "scripts" / "text" / name, ("", "id", prompt, "text_content"), rows)
    return folder


def write_dpg(folder: Path, rows: Sequence[tuple[str, int, str, str, str]]) -> Path:
    """DPG-Bench with these rows: item, number, dependency, tuple, question. Each item has a prompt."""
    (folder / "dpg_bench" / "prompts").mkdir(parents=True)
    full = [(item, "text", "words", number, parents, "broad", "detailed", tuple_, question)
            for item, number, parents, tuple_, question in rows]
    write_table(folder / "dpg_bench" / "dpg_bench.csv", DPG_COLUMNS, full)
    for item in {row[0] for row in rows}:
        (folder / "dpg_bench" / "prompts" / f"{item}.txt").write_text(f"The picture {item}.\n")
    return folder


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_picture(path: Path, *colours: tuple[int, int, int], side: int = 8) -> Path:
    """A picture of one image, or of four in two rows, each of one colour."""
    columns = 1 if len(colours) == 1 else 2
    picture = Image.new("RGB", (columns * side, columns * side))
    for i, colour in enumerate(colours):
        picture.paste(colour, (i % columns * side, i // columns * side, (i % columns + 1) * side,
                               (i // columns + 1) * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, lossless=True)
    return path
