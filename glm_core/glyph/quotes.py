"""The texts in a prompt that should appear in the image: those in quotation marks."""

import re
from collections.abc import Callable
from typing import NamedTuple

from ..errors import GLMImageError
from ..plans import PROMPT_SEPARATOR
from .marks import (
    FAMILIES,
    STYLES,
    Quotation,
    contractions,
    read_family,
    remark_contractions,
    warn_of_unpaired,
)

DIFFUSERS, NATURAL = "reference", "natural"  # as saved workflows name the rules

# Four passes in the order of diffusers' GlmImagePipeline.get_glyph_texts: '…', “…”, "…", 「…」
UPSTREAM = (re.compile(r"'([^']*)'"), re.compile("\u201c([^\u201c\u201d]*)\u201d"), re.compile(r'"([^"]*)"'),
            re.compile("\u300c([^\u300c\u300d]*)\u300d"))


class Reading(NamedTuple):
    """The quotations of a prompt in the order of the texts, and where marks are that quote nothing.

    unpaired: marks without a partner. contractions: those of 'n' between two words.
    """

    quotations: list[Quotation]
    unpaired: list[int]
    contractions: set[int]


def read_as_upstream(prompt: str) -> Reading:
    matches = (match for rule in UPSTREAM for match in rule.finditer(prompt))
    return Reading([Quotation(match.start(), match.end() - 1, match[1]) for match in matches], [], set())


def read_naturally(prompt: str) -> Reading:
    skipped, found, unpaired = contractions(prompt), [], []
    for family in FAMILIES:
        quotations, alone = read_family(prompt, family, skipped)
        found += quotations
        unpaired += alone
    by_style = sorted(found, key=lambda quotation: STYLES.index(prompt[quotation.opened]))
    return Reading(by_style, sorted(unpaired), skipped)


QUOTE_RULES: dict[str, Callable[[str], Reading]] = {DIFFUSERS: read_as_upstream, NATURAL: read_naturally}


def read_quotations(prompt: str, rules: str) -> Reading:
    """The quotations of a prompt. Raises GLMImageError on other rules than DIFFUSERS and NATURAL."""
    if rules not in QUOTE_RULES:
        raise GLMImageError(f"quotes must be one of {', '.join(QUOTE_RULES)} (got {rules!r})")
    return QUOTE_RULES[rules](prompt)


def quoted_texts(prompt: str, rules: str = NATURAL) -> list[str]:
    """The quoted texts of a prompt, one style of quotation marks after the other; [""] if there are none.

    rules: DIFFUSERS knows the four styles of diffusers and pairs any two marks as it does, so that
    ``it's … don't`` yields ``s … don``. NATURAL knows more styles and ignores apostrophes and inch marks; its texts
    come in the order of ``STYLES``, diffusers' four first, and marks without a partner are logged. Raises GLMImageError
    on other rules.
    """
    return find_texts(prompt, rules) or [""]


def quoted_texts_of_all(prompts: str, rules: str = NATURAL) -> list[str]:
    """The quoted texts of several prompts, one prompt after the other; [""] if there are none.

    prompts: with PROMPT_SEPARATOR between them. Texts that an earlier prompt also has are left out. Otherwise as
    ``quoted_texts``.
    """
    found: list[str] = []
    for prompt in prompts.split(PROMPT_SEPARATOR):
        earlier = set(found)
        found += [text for text in find_texts(prompt, rules) if text not in earlier]
    return found or [""]


def find_texts(prompt: str, rules: str) -> list[str]:
    """The quoted texts; what was not taken for a quotation mark is logged."""
    reading = read_quotations(prompt, rules)
    if reading.contractions:
        remark_contractions()
    warn_of_unpaired(prompt, reading.unpaired)
    return [quotation.text for quotation in reading.quotations]
