"""The texts in a prompt that should appear in the image: those in quotation marks."""

import re

from ..errors import GLMImageError

DIFFUSERS, NATURAL = "reference", "natural"  # as saved workflows name the rules
LATIN = "A-Za-z0-9\u00c0-\u024f"  # an apostrophe between two of these is no quotation mark; Chinese text may touch one

# Four passes in the order of diffusers' GlmImagePipeline.get_glyph_texts: '…', “…”, "…", 「…」
_CURLY, _CORNER = re.compile("\u201c([^\u201c\u201d]*)\u201d"), re.compile("\u300c([^\u300c\u300d]*)\u300d")
QUOTE_RULES = {
    DIFFUSERS: (re.compile(r"'([^']*)'"), _CURLY, re.compile(r'"([^"]*)"'), _CORNER),
    NATURAL: (
        # the ' of it's, dogs' or 6' does not open a quotation, that of don't does not close one
        re.compile(rf"(?<![{LATIN}])'((?:[^']|(?<=[{LATIN}])'(?=[{LATIN}]))*)'(?![{LATIN}])"),
        _CURLY,
        re.compile(r'(?<!\d)"([^"]*)"'),  # 2" is an inch mark
        _CORNER,
    ),
}


def quoted_texts(prompt: str, rules: str = NATURAL) -> list[str]:
    """The quoted texts of a prompt, in upstream's order: one style of quotation marks after the other. [""] if none.

    rules: NATURAL ignores apostrophes and inch marks; DIFFUSERS pairs any two marks, as diffusers does, so that
    ``it's … don't`` yields ``s … don``. Raises GLMImageError on other rules.
    """
    if rules not in QUOTE_RULES:
        raise GLMImageError(f"quotes must be one of {', '.join(QUOTE_RULES)} (got {rules!r})")
    return [text for rule in QUOTE_RULES[rules] for text in rule.findall(prompt)] or [""]
