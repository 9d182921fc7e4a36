"""What may go wrong with the quoted texts of a prompt themselves."""

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from .findings import (
    BACKSLASH,
    CUT,
    EMPTY,
    LONG,
    LOST,
    MANY,
    NESTED,
    ORDER,
    OTHER_RULE,
    PROSE,
    TOTAL,
    Finding,
    count,
    shorten,
)
from .marks import Quotation
from .tokens import MAX_IDS

# The most that the model is known to have written; bytes are those of UTF-8, of which the glyph encoder reads each.
# LongText-Bench (X-Omni, textbench/), with which Z.ai measured GLM-Image: the longest text has 288 bytes in English
# and 246 in Chinese; all texts of a prompt together have up to 478 and 358.
LONGEST_TEXT, LONGEST_IN_ALL = 288, 478
MOST_TEXTS = 16  # in the README of zai-org/GLM-Image, and in its examples/prompt_utils.py
READ_BYTES = MAX_IDS - 1  # of one text, beside the end token
BYTES = "bytes (a Latin letter is 1, a Chinese character 3)"


def check_texts(prompt: str, quotations: list[Quotation]) -> Iterator[Finding]:
    """quotations: in the order of the texts."""
    in_order = sorted(quotations)
    for quotation in in_order:
        yield from check_text_itself(prompt, quotation)
    nested = [*check_nesting(prompt, in_order)]
    yield from nested
    if in_order != quotations and not nested:
        yield report_order(prompt, quotations)
    yield from check_amount(in_order)


def check_text_itself(prompt: str, quotation: Quotation) -> Iterator[Finding]:
    start, text = quotation.opened, quotation.text
    shown, size = shorten(prompt[start : quotation.closed + 1]), len(text.encode(errors="replace"))
    if not text.strip():
        yield Finding(EMPTY, start, f"{shown} holds no text: write the text, or delete the marks")
    if text.endswith("\\"):
        yield Finding(BACKSLASH, start, f"{shown} ends with a backslash, which is written too: delete the backslashes")
    if size > READ_BYTES:
        yield Finding(CUT, start, f"{shown} has {size} {BYTES}, and only the first {READ_BYTES} are read: shorten it")
    elif size > LONGEST_TEXT:
        yield Finding(LONG, start, f"{shown} has {size} {BYTES}, and the longest text with which the model was "
                                   f"measured has {LONGEST_TEXT}: shorten it, or split it")


def check_nesting(prompt: str, in_order: list[Quotation]) -> Iterator[Finding]:
    end = -1
    for quotation in in_order:
        if quotation.opened < end:
            shown = shorten(prompt[quotation.opened : quotation.closed + 1])
            yield Finding(NESTED, quotation.opened, f"{shown} lies in another quotation, so its text is passed on "
                                                    "twice: leave out the inner marks")
        end = max(end, quotation.closed)


def report_order(prompt: str, quotations: list[Quotation]) -> Finding:
    styles = dict.fromkeys(prompt[quotation.opened] + "…" + prompt[quotation.closed] for quotation in quotations)
    return Finding(ORDER, min(quotations).opened, "texts in different marks are not passed on in the order of the "
                                                  f"prompt (first {', then '.join(styles)}): use one style of marks")


def check_amount(in_order: list[Quotation]) -> Iterator[Finding]:
    if len(in_order) > MOST_TEXTS:
        yield Finding(MANY, in_order[MOST_TEXTS].opened, f"{count(len(in_order), 'quoted text')}, and the model's own "
                                                         f"examples have up to {MOST_TEXTS}: use fewer")
    sizes = [len(quotation.text.encode(errors="replace")) for quotation in in_order]
    if sizes and sum(sizes) > LONGEST_IN_ALL and max(sizes) <= LONGEST_TEXT:
        beyond = next(i for i, total in enumerate(accumulate(sizes)) if total > LONGEST_IN_ALL)
        yield Finding(TOTAL, in_order[beyond].opened, f"the quoted texts have {sum(sizes)} {BYTES} in all, and those "
                                                      f"with which the model was measured up to {LONGEST_IN_ALL}: "
                                                      "write less")


def check_upstream(prompt: str, read: list[Quotation], natural: list[Quotation]) -> Iterator[Finding]:
    """Where the rule of diffusers, by which ``read`` was found, reads something that is hardly meant."""
    ours, theirs = ({quotation[:2] for quotation in quotations} for quotations in (natural, read))
    for quotation in read:
        if quotation[:2] not in ours:
            shown = shorten(prompt[quotation.opened : quotation.closed + 1])
            yield Finding(PROSE, quotation.opened, f"{shown} is taken for a quoted text: use the rule natural, or ’ "
                                                   "for apostrophes and ″ for inches")
    for quotation in natural:
        if quotation[:2] not in theirs:
            shown = shorten(prompt[quotation.opened : quotation.closed + 1])
            yield Finding(OTHER_RULE, quotation.opened, f"{shown} is not read as a quoted text: use the rule natural, "
                                                        'or write "…"')


def check_kept(quotations: list[Quotation], original: list[Quotation]) -> Iterator[Finding]:
    """The texts of the original prompt that are not in the new one, each as often as it is missing."""
    missing = Counter(quotation.text for quotation in original) - Counter(quotation.text for quotation in quotations)
    for text in missing.elements():
        yield Finding(LOST, 0, f"{shorten(text)}: this quoted text of the original prompt is missing: put it back, "
                               "exactly as it was")
