"""Figures → the card's tables and sentences, on two pictures whose figures were counted by hand."""

import pytest

from glm_core.cli import make_parser
from tests.figures import card
from tests.figures.__main__ import evaluations

PROMPT = 'A red poster. At the top, "AB" in small white letters. At the bottom, "CDEF" in large white letters.'


def word(wanted: str, read: str, ned: float) -> dict:
    return {"wanted": wanted, "read": read, "ned": ned, "right": wanted == read}


PICTURES = [
    {"prompt": PROMPT, "words": [word("AB", "AB", 1.0), word("CDEF", "CDEE", 0.75)], "shapes": [{"right": True}]},
    {"prompt": 'Change the word at the top to "GH".', "words": [word("GH", "GH", 1.0), word("IJ", "", 0.0)],
     "shapes": [{"right": True}, {"right": False}]},
]


def run_of(pictures: list[dict], **figures) -> dict:
    return {"prompts": len(pictures), "words": 4, "shapes": 3, "pictures": pictures, **figures}


@pytest.fixture
def results():
    results = {name: run_of(PICTURES) for name in card.HELD_OUT}
    for name in card.ABLATED:
        results |= {f"{name}_without_plan": run_of(PICTURES[:1], plans_shape_accuracy=0.5),
                    f"{name}_without_glyphs": run_of(PICTURES[:1]), f"{name}_without_preview": run_of(PICTURES[1:])}
    return results


def test_the_tables_hold_the_figures(results):
    assert ("| `held_out_grid.jsonl` (2 prompts, 4 words, 3 shapes) | 0.500 | 0.688 | 0.667 | 0.95 / 0.98 / 0.95 |"
            in card.held_out_table(results).splitlines())
    assert "| `held_out_edits.jsonl` (2 prompts, 4 words, 3 shapes) | 0.500 | 0.688 | 0.667 | |" in (
        card.held_out_table(results).splitlines())
    assert card.ablation_table(results).splitlines()[2:] == [
        "| everything | 0.50 / 0.88 / 1.00 | 0.50 / 0.88 / 1.00 |",
        "| with the next prompt's plan | 0.50 / 0.88 / 1.00 (0.50) | 0.50 / 0.88 / 1.00 (0.50) |",
        "| without glyphs | 0.50 / 0.88 / 1.00 | 0.50 / 0.88 / 1.00 |",
        "| without preview grid | 0.50 / 0.50 / 0.50 | 0.50 / 0.50 / 0.50 |"]


def test_the_sentences_hold_the_figures(results):
    results["held_out_edits"] = run_of(PICTURES[1:])
    assert "1 of 1 new words are right, and 0 of the 1 that should stay" in card.edits_sentence(results)
    assert "1 of 1 small words and 0 of 1 large ones" in card.sizes_sentence(results)
    assert "of the 2 free words, 1 come out right with it and 1 without" in card.ablation_sentence(results)
    assert "without glyphs, 50 % of the words" in card.ablation_sentence(results)
    assert card.readme_sentence(results).startswith("50.0 % of words come out as asked, 50.0 % with")
    assert card.chinese_readme_sentence(results).startswith("50.0 % 的词与要求一致；")


@pytest.mark.parametrize("path, name", [(path, name) for path, parts in card.PARTS.items() for name in parts],
                         ids=lambda value: value if isinstance(value, str) else value.parent.name)
def test_every_part_has_its_place(path, name):
    text = path.read_text(encoding="utf-8")
    changed = card.replace_part(text, name, "figures")
    assert changed != text and card.replace_part(changed, name, "figures") == changed
    assert 0 <= len(text.splitlines()) - len(changed.splitlines()) < 9  # no more than the part is replaced


def test_a_text_without_the_part_is_refused():
    with pytest.raises(ValueError, match="figures: words"):
        card.replace_part("no figures", "words", "1 %")


def test_the_evaluations_are_commands_that_exist():
    parser = make_parser()
    parsed = {name: parser.parse_args(["evaluate", *options]) for name, options in evaluations().items()}
    assert len(parsed) == len(card.HELD_OUT) + 3 * len(card.ABLATED)
    assert all(arguments.prompts.exists() for arguments in parsed.values())
