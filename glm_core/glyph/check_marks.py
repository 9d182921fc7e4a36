"""What a prompt asks to be written that no pair of quotation marks holds."""

import re
from collections.abc import Iterable, Iterator

from .findings import MIXED, NOT_MARKS, UNPAIRED, UNQUOTED, Finding, shorten
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
PHRASE_END = re.compile(rf"[,.;!?，。！？；\n{QUOTED}]|$")


def check_marks(prompt: str, reading: Reading, quotations: Iterable[Quotation]) -> Iterator[Finding]:
    """Marks that quote nothing, and requests for text without marks.

    reading: by the rule natural. quotations: of any rule; what stands in them is left alone.
    """
    quoted = [(quotation.opened, quotation.closed) for quotation in quotations]
    taken = {place for span in quoted for place in span}
    unpaired = [place for place in reading.unpaired if place not in taken]
    mixed = dict(mixed_quotations(prompt, unpaired, taken))
    look_alikes = [*find_look_alikes(hide(prompt, quoted))]
    alone = [place for place in unpaired if place not in (*mixed, *mixed.values()) and not is_in(place, look_alikes)]
    hidden = hide(prompt, [*quoted, *look_alikes, *mixed.items(), *((place, place) for place in alone)])
    yield from (report_look_alike(prompt, *span) for span in look_alikes)
    yield from (report_mixed(prompt, *span) for span in mixed.items())
    yield from (report_unpaired(prompt, place) for place in alone)
    yield from (report_request(hidden, request) for request in unquoted_requests(hidden))


def is_in(place: int, spans: Iterable[Span]) -> bool:
    return any(first <= place <= last for first, last in spans)


def find_look_alikes(hidden: str) -> Iterator[Span]:
    """Pairs that are used like quotation marks. Brackets are where text is asked for: 写着《…》, but not 一本《…》."""
    for match in LOOK_ALIKES.finditer(hidden):
        if QUOTED not in match[0]:
            yield match.start(), match.end() - 1
    for match in BRACKETS.finditer(hidden):
        if QUOTED not in match[0] and asks_for_brackets(hidden, match.start()):
            yield match.start(), match.end() - 1


def mixed_quotations(prompt: str, unpaired: list[int], taken: set[int]) -> Iterator[Span]:
    """Marks without a partner that a mark of another style closes: “OPEN"."""
    end = -1
    for place in unpaired:
        if place > end and prompt[place] in STYLES and mark_at(prompt, place).opens[True]:
            close = closing_mark(prompt, place, taken)
            if close is not None:
                end = close
                yield place, close


def closing_mark(prompt: str, opened: int, taken: set[int]) -> int | None:
    """The next mark of the same width, if it can close a quotation and belongs to no other."""
    width = DOUBLE if prompt[opened] in DOUBLE else SINGLE
    for place in range(opened + 1, min(len(prompt), opened + FURTHEST)):
        if place in taken or prompt[place] == "\n":
            return None
        mark = mark_at(prompt, place)
        if prompt[place] in width and not mark.is_inside_word:
            return place if mark.closes[False] and not mark.before.isspace() and place > opened + 1 else None
    return None


def report_look_alike(prompt: str, first: int, last: int) -> Finding:
    return Finding(NOT_MARKS, first, f"{shorten(prompt[first : last + 1])} is not in quotation marks, so it is not "
                                     'passed on as text: write "…" or “…” instead')


def report_mixed(prompt: str, first: int, last: int) -> Finding:
    return Finding(MIXED, first, f"{shorten(prompt[first : last + 1])} begins with {prompt[first]} and ends with "
                                 f'{prompt[last]}, so it is not passed on as text: use one style, such as "…"')


def report_unpaired(prompt: str, place: int) -> Finding:
    return Finding(UNPAIRED, place, f"{excerpt(prompt, place)} has a quotation mark without a partner, so no text is "
                                    "passed on: add the other mark, or delete this one")


def report_request(hidden: str, request: Request) -> Finding:
    match = PHRASE_END.search(hidden, request.end)
    phrase = shorten(hidden[request.start : match.start() if match else None])
    return Finding(UNQUOTED, request.start, f"{phrase}: this asks for text, but not in quotation marks: put the words "
                                            'to be written in "…" or “…”')
