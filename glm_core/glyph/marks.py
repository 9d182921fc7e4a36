"""Which characters of a prompt are quotation marks, and which two of them belong together."""

import logging
import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

# Styles that share a mark are read together: opening mark → the marks that close it
Family = dict[str, str]
FAMILIES: tuple[Family, ...] = (
    {"'": "'"}, {"“": "”", "„": "“”", "”": "”"}, {'"': '"'}, {"「": "」"},
    {"‘": "’", "’": "’", "‚": "‘’"}, {"«": "»", "»": "«»"}, {"‹": "›", "›": "‹›"}, {"『": "』"}, {"＂": "＂"},
    {"＇": "＇"}, {"〝": "〞〟"},
)
STYLES = "'“\"「" + "„”‘’‚«»‹›『＂＇〝"  # opening marks in the order of the texts: upstream's four, then the others
APOSTROPHES, INCH_MARKS = "'’‘＇", '"”＂'
GUILLEMETS = "«»‹›"

# Scripts without blanks between words, or whose particles touch a quotation, as in 写着'你好'的 and '안녕'이라고
UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\ufe30-\ufe4f"
                      "\uff00-\uffef\U0001b000-\U0001b16f\U00020000-\U0003ffff]")
# rock 'n' roll, Rock 'N' Roll
SHORT_AND = re.compile(r"(?<=\w )(['’‘])(?:n(['’])(?= \w)|N(['’])(?= [A-Z][A-Za-z]))")
ELISION = re.compile(r"['’‘＇](?:\d\ds?|n|em|tis|twas|til|cause|bout)\b", re.IGNORECASE)  # '90s, 'tis
FRACTIONS = "¼½¾⅓⅔⅛⅜⅝⅞"
SHOWN, CONTEXT = 5, 8  # marks in a warning, and characters of the prompt beside each


class Quotation(NamedTuple):
    """A quoted text, and where its opening and its closing mark are in the prompt."""

    opened: int
    closed: int
    text: str


@lru_cache(4096)
def is_word(character: str) -> bool:
    """Whether an apostrophe beside it belongs to a word: letters, their accents and vowel signs, and digits."""
    return unicodedata.category(character)[0] in "LMN" and not UNSPACED.match(character)


def is_hebrew(character: str) -> bool:
    return "\u05d0" <= character <= "\u05ea"


class Mark:
    """What a mark may be where it stands. ``window``: the character before it, the mark, and two characters after it.

    opens, closes: whether it may do so, in the strict and in the loose reading. needs_no_partner: it may stand alone.
    """

    def __init__(self, window: str):
        self.before, self.mark, self.after, self.second = window
        opens, touches_next = self.opens_strictly(), self.after.isalnum() or self.after == "《"
        closes, touches_last = self.closes_strictly(), not self.before.isspace() and self.before != self.mark
        self.opens, self.closes = (opens, opens or touches_next), (closes, closes or touches_last)
        self.is_inside_word = self.is_apostrophe() or self.is_gershayim()
        self.needs_no_partner = self.needs_none()

    def opens_strictly(self) -> bool:
        if self.mark in "'’＇":
            return not is_word(self.before)
        if self.mark == "”":
            return not is_word(self.before) and not self.is_after_number
        return self.mark not in INCH_MARKS or not (self.is_after_number or self.is_between_hebrew)

    def closes_strictly(self) -> bool:
        return not is_word(self.after) if self.mark in APOSTROPHES else not self.is_between_hebrew

    @property
    def is_after_number(self) -> bool:
        return self.before.isdecimal() or self.before in FRACTIONS

    @property
    def is_between_hebrew(self) -> bool:
        return self.mark in INCH_MARKS and is_hebrew(self.before) and is_hebrew(self.after)

    def is_apostrophe(self) -> bool:
        return self.mark in APOSTROPHES and is_word(self.before) and is_word(self.after)

    def is_gershayim(self) -> bool:
        """The mark before the last letter of a Hebrew abbreviation."""
        return self.is_between_hebrew and not is_hebrew(self.second)

    def needs_none(self) -> bool:
        """dogs', 6' and 2\" at the end of a word or number."""
        if self.mark in APOSTROPHES:
            return is_word(self.before)
        return self.mark in INCH_MARKS and (self.is_after_number or self.is_between_hebrew)


mark_in = lru_cache(4096)(Mark)


def mark_at(prompt: str, i: int) -> Mark:
    """Beyond either end of the prompt stand blanks."""
    return mark_in(f"{prompt[i - 1 : i] or ' '}{prompt[i : i + 3]}  "[:4])


def contractions(prompt: str) -> set[int]:
    """Where the marks of 'n' between two words are."""
    return {i for match in SHORT_AND.finditer(prompt) for i in (match.start(), match.end() - 1)}


def read_family(prompt: str, family: Family, skipped: set[int]) -> tuple[list[Quotation], list[int]]:
    """The texts in these marks, and where the marks without a partner are.

    A mark after a number or a word opens nothing (2", dogs'), unless marks are left over so, and none are if it does:
    步骤1"打蛋".
    """
    pattern = re.compile("[" + "".join(family) + "".join(family.values()) + "]")
    places = [match.start() for match in pattern.finditer(prompt)]
    marks = {i: mark for i in places if i not in skipped and not (mark := mark_at(prompt, i)).is_inside_word}
    found, unpaired = pair_marks(prompt, family, marks, loose=False)
    if unpaired and any(mark in closing for mark, closing in family.items()):
        loosely_found, left_over = pair_marks(prompt, family, marks, loose=True)
        if not left_over:
            return loosely_found, []
    return found, unpaired


def pair_marks(prompt: str, family: Family, marks: dict[int, Mark], loose: bool) -> tuple[list[Quotation], list[int]]:
    """``loose``: a mark that touches a text on its right may open a quotation whatever is on its left."""
    found, unpaired, opened, opening, closing = [], [], -1, "", ""
    for i, mark in marks.items():
        if mark.mark in closing and mark.closes[loose]:
            found.append(Quotation(opened, i, quoted_text(prompt, opened, i)))
            opening = closing = ""
        elif mark.mark in family and mark.opens[loose] and (mark.mark == opening or opening in closing):
            unpaired += [opened] if opening else []  # it was perhaps no quotation mark
            opened, opening, closing = i, mark.mark, family[mark.mark]
        elif not opening and not mark.needs_no_partner:
            unpaired.append(i)
    unpaired += [opened] if opening else []
    return found, [i for i in unpaired if not ELISION.match(prompt, i)]


def quoted_text(prompt: str, opened: int, closed: int) -> str:
    """The text between two marks; without the blanks that French sets inside guillemets."""
    text = prompt[opened + 1 : closed]
    is_spaced = prompt[opened] in GUILLEMETS and len(text) > 2 and text[0].isspace() and text[-1].isspace()
    return text[1:-1] if is_spaced else text


def remark_contractions() -> None:
    logging.info("'n' between two words stands for \"and\"; to write it in the image, use other marks: \"n\"")


def warn_of_unpaired(prompt: str, places: list[int]) -> None:
    """Log one line that shows the marks without a partner."""
    if places:
        shown = ", ".join(excerpt(prompt, i) for i in places[:SHOWN])
        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        logging.warning("quotation marks must come in pairs, or their text is not written in the image "
                        f"(got without partner: {shown}{more})")


def excerpt(prompt: str, i: int) -> str:
    """A mark with the characters after it; if it rather ends a text, with those before it."""
    around = mark_at(prompt, i)
    if around.before.isalnum() and not around.after.isalnum():
        cut = "…" if i > CONTEXT else ""
        return cut + " ".join(prompt[max(0, i - CONTEXT) : i + 1].split())
    cut = "…" if i + 1 + CONTEXT < len(prompt) else ""
    return " ".join(prompt[i : i + 1 + CONTEXT].split()) + cut
