"""The texts in a prompt that should appear in the image: those in quotation marks."""

import re
from collections.abc import Callable, Iterable

from ..errors import GLMImageError
from ..plans import PROMPT_SEPARATOR
from .marks import FAMILIES, STYLES, contractions, read_family, warn_of_unpaired

DIFFUSERS, NATURAL = "reference", "natural"  # as saved workflows name the rules

# Four passes in the order of diffusers' GlmImagePipeline.get_glyph_texts: '…', “…”, "…", 「…」
UPSTREAM = (re.compile(r"'([^']*)'"), re.compile("\u201c([^\u201c\u201d]*)\u201d"), re.compile(r'"([^"]*)"'),
            re.compile("\u300c([^\u300c\u300d]*)\u300d"))


def upstream_texts(prompt: str) -> Iterable[str]:
    return (text for rule in UPSTREAM for text in rule.findall(prompt))


def natural_texts(prompt: str) -> Iterable[str]:
    skipped, found, unpaired = contractions(prompt), [], []
    for family in FAMILIES:
        texts, alone = read_family(prompt, family, skipped)
        found += texts
        unpaired += alone
    warn_of_unpaired(prompt, sorted(unpaired))
    return (text for _, text in sorted(found, key=lambda style_and_text: STYLES.index(style_and_text[0])))


QUOTE_RULES: dict[str, Callable[[str], Iterable[str]]] = {DIFFUSERS: upstream_texts, NATURAL: natural_texts}


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
    if rules not in QUOTE_RULES:
        raise GLMImageError(f"quotes must be one of {', '.join(QUOTE_RULES)} (got {rules!r})")
    return list(QUOTE_RULES[rules](prompt))
