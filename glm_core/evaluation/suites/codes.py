"""Judging plans of posters by the codes of their cells, without drawing them.

An item is right if it stands in one of the boxes that the caption allows: each of its cells has the code of the item's
letter or kind, its colour, its size and its part. For a letter, the code of its pair is right too, where the quoted
texts tell which of the two is meant (``ambiguous_letters``). A word is wrong if another letter is in its way: in its
row, between the places of the letters that would come before and after it.
A plan is whole if all items are right and all other cells show the background.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...ocr import mean
from ...posters import (
    CELL_CODES,
    Item,
    ItemBox,
    Poster,
    allowed_boxes,
    empty_code,
    item_cell_codes,
    item_cells,
    word_cells,
)

Codes = Sequence[Sequence[int]]  # of the cells of a target grid, by rows

LETTER_CODES = frozenset(code for name, code in CELL_CODES.items() if name[0] == "letter")


@dataclass(frozen=True)
class CodeResult:
    """A plan beside the poster that its prompt describes.

    found: for each item of the poster, the item in the box where the plan shows it, or None if it is not right.
    whole: see the module.
    """

    poster: Poster
    found: tuple[Item | None, ...]
    whole: bool

    @property
    def words(self) -> list[bool]:
        """Which of the poster's words are right."""
        return [found is not None for item, found in zip(self.poster.items, self.found) if not item.kind]

    @property
    def shapes(self) -> list[bool]:
        """Which of the poster's shapes are right."""
        return [found is not None for item, found in zip(self.poster.items, self.found) if item.kind]


def judge(codes: Codes, poster: Poster, quoted: Sequence[str]) -> CodeResult:
    """Compare the codes of a plan's target grid with the poster that its prompt describes.

    poster: its items' own boxes do not matter. quoted: all texts that the decoder gets; those of the prompt, unless
    cells of a plan of another prompt were kept.
    """
    found = tuple(find_item(codes, item, poster.cells, quoted) for item in poster.items)
    covered = {cell for item in found if item for cell in item_cells(item)}
    background = empty_code(poster)
    is_clean = all(code == background for row, line in enumerate(codes) for column, code in enumerate(line)
                   if (row, column) not in covered)
    return CodeResult(poster, found, is_clean and None not in found)


def find_item(codes: Codes, item: Item, cells: int, quoted: Sequence[str]) -> Item | None:
    """The item in the box where the codes show it; None if it is not right in any that its caption allows.

    cells: of the poster. quoted: as for ``judge``.
    """
    placed = [replace(item, box=box) for box in allowed_boxes(item, cells)]
    return next((candidate for candidate in placed if is_right(codes, candidate, quoted)), None)


def right_cells(codes: Codes, item: Item, quoted: Sequence[str]) -> list[bool]:
    """For each cell of the item in its box, whether its code is right. quoted: as for ``judge``."""
    exact, short = (dict(item_cell_codes(item, texts)) for texts in ((), quoted))
    return [codes[row][column] in (CELL_CODES[exact[row, column]], CELL_CODES[short[row, column]])
            for row, column in exact]


def is_right(codes: Codes, item: Item, quoted: Sequence[str]) -> bool:
    """Whether the codes show the item in its box."""
    return all(right_cells(codes, item, quoted)) and (bool(item.kind) or not has_letters_beside(codes, item))


def has_letters_beside(codes: Codes, word: Item) -> bool:
    """Whether another letter is in the word's way, so that the two are read together."""
    left, top, pitch = word.require_box()
    own = word_cells(word)
    row, first = word_cells(replace(word, box=ItemBox(left - pitch, top, pitch)))[0]
    _, last = word_cells(replace(word, box=ItemBox(left + pitch, top, pitch)))[-1]
    beside = [code for column, code in enumerate(codes[row])
              if first <= column <= last and (row, column) not in own]
    return not LETTER_CODES.isdisjoint(beside)


def summary(results: Sequence[CodeResult]) -> dict[str, Any]:
    """Counts, and figures in 0...1: of words and shapes over those of all plans; None if there are none."""
    words = [right for result in results for right in result.words]
    shapes = [right for result in results for right in result.shapes]
    return {
        "plans": len(results), "whole": mean([result.whole for result in results]),
        "words": len(words), "word_accuracy": mean(words),
        "shapes": len(shapes), "shape_accuracy": mean(shapes),
    }
