"""Which parts of a prompt are to be lettered: the texts in quotation marks."""

import re

from ..errors import GLMImageError

REFERENCE, NATURAL = "reference", "natural"
LATIN = "A-Za-z0-9\u00c0-\u024f"  # letters and digits an apostrophe stands between; CJK text may touch a real quote

# Four passes in the order of diffusers' GlmImagePipeline.get_glyph_texts: '…', “…”, "…", 「…」
_CURLY, _CORNER = re.compile("\u201c([^\u201c\u201d]*)\u201d"), re.compile("\u300c([^\u300c\u300d]*)\u300d")
QUOTE_RULES = {
    REFERENCE: (re.compile(r"'([^']*)'"), _CURLY, re.compile(r'"([^"]*)"'), _CORNER),
    NATURAL: (
        # it's, dogs', 6' are no opening quotes; the apostrophe of 'don't' does not close
        re.compile(rf"(?<![{LATIN}])'((?:[^']|(?<=[{LATIN}])'(?=[{LATIN}]))*)'(?![{LATIN}])"),
        _CURLY,
        re.compile(r'(?<!\d)"([^"]*)"'),  # 2" is an inch mark
        _CORNER,
    ),
}


def quoted_texts(prompt: str, rules: str = NATURAL) -> list[str]:
    """The quoted texts of a prompt, style by style as the reference orders them; [""] when there is none.

    ``rules``: "natural" leaves apostrophes and inch marks alone; "reference" takes any two marks for a pair,
    so that ``it's … don't`` yields ``s … don``.
    """
    if rules not in QUOTE_RULES:
        raise GLMImageError(f"quotes: found {rules!r}, accepted are {', '.join(QUOTE_RULES)}")
    return [text for rule in QUOTE_RULES[rules] for text in rule.findall(prompt)] or [""]
