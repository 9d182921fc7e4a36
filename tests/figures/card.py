"""The evaluations' figures as parts of the model card and of README.md, in English and Chinese.

A part stands between ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``.
"""

import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from glm_core.checkpoint import EMBEDDED
from glm_core.glyph import quoted_texts
from glm_core.ocr import normalise
from tests.support.hosts import PACK

HELD_OUT = {  # targets for words, NED and shapes
    "held_out_grid": "0.95 / 0.98 / 0.95", "held_out_free": "0.80 / 0.90 / 0.95", "held_out_chinese": "",
    "held_out_serif": "", "held_out_edits": "",
}
ABLATED = "held_out_grid", "held_out_free"
START, END = "<!-- figures: {} -->", "<!-- end of figures -->"
SIZED = re.compile(r'"(\w+)" in (small|large) ')

Results = dict[str, dict]  # what evaluate --json wrote, by the name of the evaluation


def words_of(pictures: list[dict]) -> list[dict]:
    return [word for picture in pictures for word in picture["words"]]


def shapes_of(pictures: list[dict]) -> list[dict]:
    return [shape for picture in pictures for shape in picture["shapes"]]


def right(items: list[dict]) -> int:
    return sum(item["right"] for item in items)


def triple(pictures: list[dict]) -> tuple[float, float, float]:
    """Word accuracy, NED and share of right shapes."""
    words, shapes = words_of(pictures), shapes_of(pictures)
    return right(words) / len(words), mean(word["ned"] for word in words), right(shapes) / len(shapes)


def held_out_table(results: Results) -> str:
    lines = ["| prompts | word accuracy | NED | shapes with the right place, colour and kind | target for words / NED "
             "/ shapes |", "|---|---|---|---|---|"]
    for name, target in HELD_OUT.items():
        of = results[name]
        counts = f"{of['prompts']} prompts, {of['words']} words, {of['shapes']} shapes"
        figures = " | ".join(f"{figure:.3f}" for figure in triple(of["pictures"]))
        lines.append(f"| `{name}.jsonl` ({counts}) | {figures} | {target}{' ' if target else ''}|")
    return "\n".join(lines)


def edits_sentence(results: Results) -> str:
    """A new word is one that the edit's sentence quotes."""
    new, kept = [], []
    for picture in results["held_out_edits"]["pictures"]:
        quoted = {normalise(text) for text in quoted_texts(picture["prompt"])}
        for word in picture["words"]:
            (new if word["wanted"] in quoted else kept).append(word)
    return ("The edits start from images on the grid that the program drew. All words and shapes that should be there "
            f"afterwards are counted: {right(new)} of {len(new)} new words are right, and {right(kept)} of the "
            f"{len(kept)} that should stay.")


def everything(results: Results, name: str) -> list[dict]:
    """The pictures that show what the ablations' prompts give when no component is disabled."""
    return results[name]["pictures"][: results[f"{name}_without_plan"]["prompts"]]


def ablation_table(results: Results) -> str:
    rows = {"everything": [cell(everything(results, name)) for name in ABLATED]}
    for part, title in (("plan", "with the next prompt's plan"), ("glyphs", "without glyphs"),
                        ("preview", "without preview grid")):
        runs = [results[f"{name}_without_{part}"] for name in ABLATED]
        rows[title] = [cell(run["pictures"], run.get("plans_shape_accuracy")) for run in runs]
    lines = ["| | on the grid | free |", "|---|---|---|"]
    return "\n".join(lines + [f"| {title} | {' | '.join(cells)} |" for title, cells in rows.items()])


def cell(pictures: list[dict], plans_shapes: float | None = None) -> str:
    figures = " / ".join(f"{figure:.2f}" for figure in triple(pictures))
    return figures if plans_shapes is None else f"{figures} ({plans_shapes:.2f})"


def ablation_sentence(results: Results) -> str:
    blind = words_of([picture for name in ABLATED for picture in results[f"{name}_without_glyphs"]["pictures"]])
    free = words_of(everything(results, "held_out_free"))
    without_preview = words_of(results["held_out_free_without_preview"]["pictures"])
    return ("So the plan decides the layout, and the glyphs (the encoded letters of the quoted text) decide the "
            f"letters that the plan leaves open: without glyphs, {100 * right(blind) / len(blind):.0f} % of the words "
            f"come out right. The preview grid hardly matters to this planner: of the {len(free)} free words, "
            f"{right(free)} come out right with it and {right(without_preview)} without.")


def sized_words(results: Results, size: str) -> list[dict]:
    """The words of free posters that their prompts want small or large."""
    found = []
    for picture in results["held_out_free"]["pictures"]:
        wanted = {normalise(text) for text, of_size in SIZED.findall(picture["prompt"]) if of_size == size}
        found += [word for word in picture["words"] if word["wanted"] in wanted]
    return found


def sizes_sentence(results: Results) -> str:
    small, large = (sized_words(results, size) for size in ("small", "large"))
    return (f"In free posters, {right(small)} of {len(small)} small words and {right(large)} of {len(large)} large "
            "ones come out right.")


def word_shares(results: Results) -> dict[str, str]:
    """Right words in percent, by the name of the evaluation, and ``large`` for the large words of free posters."""
    large = sized_words(results, "large")
    return {name: f"{100 * triple(results[name]['pictures'])[0]:.1f} %" for name in HELD_OUT} | {
        "large": f"{100 * right(large) / len(large):.0f} %"}


def readme_sentence(results: Results) -> str:
    share = word_shares(results)
    return (f"{share['held_out_grid']} of words come out as asked, {share['held_out_free']} with *small* and *large* "
            f"in the prompt ({share['large']} of large ones), {share['held_out_chinese']} of Chinese ones, "
            f"{share['held_out_serif']} with serifs, and {share['held_out_edits']} after an edit.")


def chinese_readme_sentence(results: Results) -> str:
    share = word_shares(results)
    return (f"{share['held_out_grid']} 的词与要求一致；提示词中有 *small* 和 *large* 时为 {share['held_out_free']}"
            f"（其中 large 的词为 {share['large']}），中文词为 {share['held_out_chinese']}，带衬线的词为 "
            f"{share['held_out_serif']}，编辑之后为 {share['held_out_edits']}。")


PARTS: dict[Path, dict[str, Callable[[Results], str]]] = {
    EMBEDDED / "README.md": {
        "held-out files": held_out_table, "edits": edits_sentence, "components": ablation_table,
        "what components do": ablation_sentence, "sizes": sizes_sentence},
    PACK / "README.md": {"words": readme_sentence},
    PACK / "docs" / "README.zh.md": {"words": chinese_readme_sentence},
}


def replace_part(text: str, name: str, part: str) -> str:
    """The text with another part of this name. Raises ValueError if it has none."""
    before, start, rest = text.partition(START.format(name))
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{START.format(name)} … {END} must be in the text")
    return f"{before}{start}\n{part}\n{end}{after}"


def write(results: Results) -> None:
    """Write all figures into the card and both README files."""
    for path, parts in PARTS.items():
        text = path.read_text(encoding="utf-8")
        for name, part in parts.items():
            text = replace_part(text, name, part(results))
        path.write_text(text, encoding="utf-8", newline="\n")
