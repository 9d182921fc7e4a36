"""What LongText-Bench and OneIG-Bench do alike with transcripts: cleaning and counting."""

import re
from collections import Counter
from collections.abc import Iterable

ACCENTED = "àâäéèêëîïôöùûüçÀÂÄÉÈÊËÎÏÔÖÙÛÜÇ"
KEPT = f"\u4e00-\u9fa5a-zA-Z0-9{ACCENTED}"  # the only characters that count, beside blanks
NOT_TEXT = "addCriterion", "No text recognized."  # phrases of Qwen2.5-VL that are no transcript
NO_TEXT = "No text recognized"  # as the question asks for, and so without the full stop


def keep_text(text: str, with_blanks: bool) -> str:
    """Only the characters that count. Blanks become one between words, or none."""
    if not with_blanks:
        return re.sub(f"[^{KEPT}]", "", text)
    return " ".join(re.sub(rf"[^{KEPT}\s]", "", text).split())


def remove(text: str, phrases: Iterable[str]) -> str:
    for phrase in phrases:
        text = text.replace(phrase, "")
    return text


def matches(wanted: Iterable[str], read: Iterable[str]) -> int:
    """How many wanted words or characters were read, each read one counting once."""
    return (Counter(wanted) & Counter(read)).total()
