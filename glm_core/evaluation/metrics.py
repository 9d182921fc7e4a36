"""Word accuracy and NED over the words that pictures should show, after CVTG-2K (TextCrafter, arXiv:2503.23461).

Wanted and read words are normalised (`normalise`), then paired within a picture (`pair_words`).

- word accuracy: the share of all wanted words whose partner is the very same word.
- NED: the mean over all wanted words of `similarity` to the partner, 1 - Levenshtein / length of the longer; 0 without a partner.

Both are means over words, not over pictures; words that nobody wanted cost nothing. Unlike CVTG-2K, the OCR is RapidOCR, 0 and O
count as one letter, 1 and I likewise, and letters that stand apart on a grid are one word (`ocr.line_words`).
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

ALIKE = str.maketrans("01|", "OII")  # no reader tells these apart in a word of random letters


def normalise(text: str) -> str:
    """Letters and digits in upper case: full-width forms made plain, 0 → O, 1 and | → I, blanks and punctuation dropped."""
    plain = unicodedata.normalize("NFKC", text).upper().translate(ALIKE)
    return "".join(character for character in plain if character.isalnum())


def edit_distance(a: str, b: str) -> int:
    """Levenshtein: the fewest insertions, deletions and substitutions that turn a into b."""
    row = list(range(len(b) + 1))
    for i, from_a in enumerate(a, 1):
        above, row = row, [i]
        for j, from_b in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (from_a != from_b)))
    return row[-1]


def similarity(a: str, b: str) -> float:
    """1 for equal words, 0 for words that share nothing."""
    return 1 - edit_distance(a, b) / max(len(a), len(b), 1)


@dataclass(frozen=True)
class WordResult:
    """A wanted word, the read word it was paired with ("" if none), and how similar they are."""

    wanted: str
    read: str
    ned: float

    @property
    def right(self) -> bool:
        return self.wanted == self.read


def pair_words(wanted: Sequence[str], read: Sequence[str]) -> list[WordResult]:
    """Normalised words, the most similar pairs first; every read word serves one wanted word, pairs that share nothing none."""
    scores = sorted(((similarity(w, r), -i, -j) for i, w in enumerate(wanted) for j, r in enumerate(read)), reverse=True)
    partner, taken = {}, set()
    for score, i, j in scores:
        if score > 0 and i not in partner and j not in taken:
            partner[i] = read[-j], score
            taken.add(j)
    return [WordResult(word, *partner.get(-i, ("", 0.0))) for i, word in enumerate(wanted)]


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
