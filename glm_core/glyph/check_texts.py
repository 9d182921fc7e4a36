"""What may go wrong with the quoted texts of a prompt themselves."""

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from .findings import (
    BACKSLASH,
    BLANKS,
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
BYTES = "A Latin letter has 1 byte, a Chinese character 3"


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
    start, text, shown = quotation.opened, quotation.text, show(prompt, quotation)
    size = byte_count(quotation)
    if not text.strip():
        yield Finding(EMPTY, start, f"quotation marks without text ({shown}): write the text, or delete the marks")
    elif text[0].isspace() and text[-1].isspace():
        yield Finding(BLANKS, start, f"a text with a blank at both ends, as if between two quotations ({shown}): "
                                     "check that each mark has its partner")
    if text.endswith("\\"):
        yield Finding(BACKSLASH, start, f"a backslash at the end of a text, which is written too ({shown}): delete it")
    if size > READ_BYTES:
        yield Finding(CUT, start, f"a text of {size} bytes, of which only {READ_BYTES} are read ({shown}): shorten it")
    elif size > LONGEST_TEXT:
        yield Finding(LONG, start, f"a text of {size} bytes, while the longest that the model was tested with has "
                                   f"{LONGEST_TEXT} ({shown}): shorten it, or split it. {BYTES}")


def show(prompt: str, quotation: Quotation) -> str:
    return shorten(prompt[quotation.opened : quotation.closed + 1])


def byte_count(quotation: Quotation) -> int:
    return len(quotation.text.encode())


def check_nesting(prompt: str, in_order: list[Quotation]) -> Iterator[Finding]:
    end = -1
    for quotation in in_order:
        if quotation.opened < end:
            yield Finding(NESTED, quotation.opened, "a quotation inside another, so its text is read twice "
                                                    f"({show(prompt, quotation)}): remove the inner marks")
        end = max(end, quotation.closed)


def report_order(prompt: str, quotations: list[Quotation]) -> Finding:
    styles = dict.fromkeys(f"{prompt[quotation.opened]}…{prompt[quotation.closed]}" for quotation in quotations)
    return Finding(ORDER, min(quotations).opened, "texts in different marks, so they are not read in the order of the "
                                                  f"prompt (first {', then '.join(styles)}): use one style of marks")


def check_amount(in_order: list[Quotation]) -> Iterator[Finding]:
    if len(in_order) > MOST_TEXTS:
        yield Finding(MANY, in_order[MOST_TEXTS].opened, f"{len(in_order)} texts, while the examples of the model's "
                                                         f"makers have up to {MOST_TEXTS}: use fewer")
    sizes = [byte_count(quotation) for quotation in in_order]
    if sizes and sum(sizes) > LONGEST_IN_ALL and max(sizes) <= LONGEST_TEXT:
        beyond = next(i for i, total in enumerate(accumulate(sizes)) if total > LONGEST_IN_ALL)
        yield Finding(TOTAL, in_order[beyond].opened, f"texts of {sum(sizes)} bytes in all, while the model was "
                                                      f"tested with up to {LONGEST_IN_ALL}: write less. {BYTES}")


def check_upstream(prompt: str, read: list[Quotation], natural: list[Quotation]) -> Iterator[Finding]:
    """Where the rule of diffusers, by which ``read`` was found, reads something that is hardly meant."""
    ours, theirs = ({quotation[:2] for quotation in quotations} for quotations in (natural, read))
    for quotation in read:
        if quotation[:2] not in ours:
            yield Finding(PROSE, quotation.opened, "words between apostrophes or inch marks, which are read as a "
                                                   f"quotation ({show(prompt, quotation)}): use the rule natural")
    for quotation in natural:
        if quotation[:2] not in theirs:
            yield Finding(OTHER_RULE, quotation.opened, "quotation marks that only the rule natural reads "
                                                        f'({show(prompt, quotation)}): use that rule, or write "…"')


def check_kept(quotations: list[Quotation], original: list[Quotation]) -> Iterator[Finding]:
    """The texts of the original prompt that are not in the new one, each as often as it is missing."""
    missing = Counter(quotation.text for quotation in original) - Counter(quotation.text for quotation in quotations)
    for text in missing.elements():
        yield Finding(LOST, 0, f"a quoted text of the original prompt is missing ({shorten(text)}): put it back, "
                               "exactly as it was")
