"""Word accuracy and NED over the words that pictures should show, after CVTG-2K (TextCrafter, arXiv:2503.23461).

Wanted words and words that the OCR read are normalised (``normalise``), then paired within a picture (``pair_words``).

- Word accuracy: the share of all wanted words that are paired with the very same word.
- NED: the mean over all wanted words of the ``similarity`` to their partner, 0 for a word without one.

Both are means over words, not over pictures; other words in a picture do not count against it. There are three
differences from CVTG-2K: the OCR is RapidOCR, 0 counts as O and 1 as I, and letters spaced out on a grid are one word
(see ``line_words`` in reader.py).
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

INDISTINGUISHABLE = str.maketrans("01|", "OII")  # no OCR tells these apart in a word of random letters


def normalise(text: str) -> str:
    """Letters and digits only, in upper case; full-width forms become plain ones, 0 becomes O, 1 and | become I."""
    plain = unicodedata.normalize("NFKC", text).upper().translate(INDISTINGUISHABLE)
    return "".join(character for character in plain if character.isalnum())


def wanted_words(texts: Iterable[str]) -> list[str]:
    """The normalised words of texts; what has neither letters nor digits is left out."""
    words = [normalise(word) for text in texts for word in text.split()]
    return [word for word in words if word]


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance: the fewest insertions, deletions and substitutions that turn a into b."""
    row = list(range(len(b) + 1))
    for i, from_a in enumerate(a, 1):
        above, row = row, [i]
        for j, from_b in enumerate(b, 1):
            substituted = above[j - 1] + (from_a != from_b)
            row.append(min(above[j] + 1, row[-1] + 1, substituted))
    return row[-1]


def similarity(a: str, b: str) -> float:
    """1 - edit distance / length of the longer word: 1 for equal words, 0 for words that share nothing."""
    return 1 - edit_distance(a, b) / max(len(a), len(b), 1)


@dataclass(frozen=True)
class WordResult:
    """A wanted word, the OCR word paired with it ("" if none), and their similarity."""

    wanted: str
    read: str
    ned: float

    @property
    def right(self) -> bool:
        return self.wanted == self.read


def pair_words(wanted: Sequence[str], read: Sequence[str]) -> list[WordResult]:
    """The result of every wanted word. Both lists hold normalised words.

    The most similar words are paired first; ties go to the first wanted word, then to the first OCR word. Each OCR word
    matches at most one wanted word; words with similarity 0 are not matched.
    """
    pairs = [(similarity(word, candidate), i, j) for i, word in enumerate(wanted) for j, candidate in enumerate(read)]
    pairs.sort(key=lambda pair: -pair[0])  # a stable sort: equals keep the order of i, then of j
    results = [WordResult(word, "", 0.0) for word in wanted]
    matched_wanted, matched_read = set(), set()
    for score, i, j in pairs:
        if score > 0 and i not in matched_wanted and j not in matched_read:
            results[i] = WordResult(wanted[i], read[j], score)
            matched_wanted.add(i)
            matched_read.add(j)
    return results


def word_figures(words: Sequence[WordResult]) -> dict[str, Any]:
    """Number of wanted words, and word accuracy and NED in 0...1, None if no words were wanted."""
    return {
        "words": len(words),
        "word_accuracy": mean([word.right for word in words]),
        "ned": mean([word.ned for word in words]),
    }


def mean(values: Sequence[float]) -> float | None:
    """The mean of the values; None if there are none."""
    return sum(values) / len(values) if values else None
