"""What a prompt asks to be written that no pair of quotation marks holds."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from .findings import MIXED, NOT_MARKS, SHOWN, UNPAIRED, UNQUOTED, Finding, shorten
from .marks import STYLES, Quotation, excerpt, mark_at
from .quotes import Reading
from .requests import QUOTED, Request, asks_for_brackets, hide, unquoted_requests

Span = tuple[int, int]  # first and last character

LOOK_ALIKES = re.compile(
    r"``[^`'\n]{1,80}''|(?<!\w)`[^`\n]{1,80}`(?!\w)|(?<!\w)´[^´\n]{1,80}´(?!\w)|(?<![\w″])″[^″\n]{1,80}″|"
    r"❝[^❝❞\n]{1,80}❞|❛[^❛❜\n]{1,80}❜|<<[^<>\n]{1,80}>>|﹁[^﹁﹂\n]{1,80}﹂|﹃[^﹃﹄\n]{1,80}﹄|｢[^｢｣\n]{1,80}｣|"
    r"&(?:quot|apos|#34|#39|ldquo|lsquo);[^&\n]{1,80}&(?:quot|apos|#34|#39|rdquo|rsquo);")
BRACKETS = re.compile(r"《[^《》\n]{1,80}》|〈[^〈〉\n]{1,80}〉|【[^【】\n]{1,80}】|〖[^〖〗\n]{1,80}〗")
DOUBLE, SINGLE = '"“”„＂〝〞〟«»「」『』', "'‘’‚＇‹›"
FURTHEST = 80  # characters to the mark of another style that closes a quotation
PHRASE_END = re.compile(rf"[,.;!?，。！？；\n{QUOTED}]")


def check_marks(prompt: str, reading: Reading, quotations: Iterable[Quotation]) -> Iterator[Finding]:
    """Marks that quote nothing, and requests for text without marks.

    reading: by the rule natural. quotations: of any rule; what stands in them is left alone.
    """
    quoted = [(quotation.opened, quotation.closed) for quotation in quotations]
    marks = set(chain.from_iterable(quoted))
    look_alikes = [*find_look_alikes(hide(prompt, quoted))]
    ignored = marks.union(*(range(first, last + 1) for first, last in look_alikes))
    unpaired = [place for place in reading.unpaired if place not in ignored]
    mixed = [*mixed_quotations(prompt, unpaired, marks)]
    alone = sorted(set(unpaired) - set(chain.from_iterable(mixed)))
    hidden = hide(prompt, [*quoted, *look_alikes, *mixed, *((place, place) for place in alone)])
    yield from (report_look_alike(prompt, *span) for span in look_alikes)
    yield from (report_mixed(prompt, *span) for span in mixed)
    yield from (report_unpaired(prompt, place) for place in alone)
    yield from (report_request(hidden, request) for request in unquoted_requests(hidden))


def find_look_alikes(hidden: str) -> Iterator[Span]:
    """Pairs that are used like quotation marks. Brackets are where text is asked for: 写着《…》, but not 一本《…》."""
    for match in LOOK_ALIKES.finditer(hidden):
        if QUOTED not in match[0]:
            yield match.start(), match.end() - 1
    for match in BRACKETS.finditer(hidden):
        if QUOTED not in match[0] and asks_for_brackets(hidden, match.start()):
            yield match.start(), match.end() - 1


def mixed_quotations(prompt: str, unpaired: list[int], marks: set[int]) -> Iterator[Span]:
    """From marks without a partner to marks of another style that close them: “OPEN"."""
    end = -1
    for place in unpaired:
        if place > end and prompt[place] in STYLES and mark_at(prompt, place).opens[True]:
            close = closing_mark(prompt, place, marks)
            if close is not None:
                end = close
                yield place, close


def closing_mark(prompt: str, opened: int, marks: set[int]) -> int | None:
    """The next single or double mark, as ``opened`` is, if it can close a quotation and is none of ``marks``."""
    kind = DOUBLE if prompt[opened] in DOUBLE else SINGLE
    for place in range(opened + 2, min(len(prompt), opened + FURTHEST)):
        if place in marks or prompt[place] == "\n":
            return None
        mark = mark_at(prompt, place)
        if mark.mark in kind and not mark.is_inside_word:
            return place if mark.closes[False] and not mark.before.isspace() else None
    return None


def report_look_alike(prompt: str, first: int, last: int) -> Finding:
    return Finding(NOT_MARKS, first, "marks that do not count as quotation marks "
                                     f'({shorten(prompt[first : last + 1])}): put the text in "…" or “…”')


def report_mixed(prompt: str, first: int, last: int) -> Finding:
    return Finding(MIXED, first, f"a quotation that begins with {prompt[first]} and ends with {prompt[last]} "
                                 f"({shorten(prompt[first : last + 1])}), so its text is not read: use one style of "
                                 "marks")


def report_unpaired(prompt: str, place: int) -> Finding:
    return Finding(UNPAIRED, place, f"an unpaired quotation mark ({excerpt(prompt, place)}), so no text is read: add "
                                    "the other mark, or delete this one")


def report_request(hidden: str, request: Request) -> Finding:
    end = PHRASE_END.search(hidden, request.end, request.end + SHOWN)
    phrase = shorten(hidden[request.start : end.start() if end else request.end + SHOWN])
    return Finding(UNQUOTED, request.start, f"text requested without quotation marks ({phrase}): put the words "
                                            'to be written in "…" or “…”')
