"""What a check of a prompt finds, and how it is worded."""

from dataclasses import dataclass

UNPAIRED, MIXED, NOT_MARKS, UNQUOTED = "unpaired", "mixed", "not marks", "unquoted"
EMPTY, BACKSLASH, BLANKS, NESTED, ORDER = "empty", "backslash", "blanks", "nested", "order"
LONG, CUT, MANY, TOTAL = "long", "cut", "many", "total"
PROSE, OTHER_RULE, LOST = "prose", "other rule", "lost"
SHOWN = 32  # characters of a text in a line


@dataclass(frozen=True)
class Finding:
    """Something in a prompt that may go wrong.

    kind: one of the names above. start: the character of the prompt at which it starts, counted from 0. message: one
    line: what was found, where, and what to do.
    """

    kind: str
    start: int
    message: str


def shorten(text: str) -> str:
    """The text in one line of at most SHOWN characters."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1].rstrip() + "…"
