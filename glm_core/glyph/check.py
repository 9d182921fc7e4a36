"""Which texts of a prompt are to be written in the image, and what may go wrong with them."""

from dataclasses import dataclass

from ..errors import check_text
from .check_marks import check_marks
from .check_texts import check_kept, check_texts, check_upstream
from .findings import Finding, shorten
from .marks import Quotation
from .quotes import DIFFUSERS, NATURAL, read_quotations

MOST_LINES = 40  # of texts, and of findings


@dataclass(frozen=True)
class PromptReport:
    """What ``check_prompt`` found.

    quotations: those whose texts the glyph encoder reads, in the order in which it does. findings: in the order of the
    prompt.
    """

    prompt: str
    rules: str
    quotations: tuple[Quotation, ...]
    findings: tuple[Finding, ...]

    def lines(self) -> list[str]:
        """The texts with their marks, then one line for each finding; of very many the first."""
        return [f"texts to be written: {len(self.quotations)} (rule {self.rules})",
                *limited([f"  {self.marks(quotation)}  {shorten(quotation.text)}" for quotation in self.quotations]),
                f"findings: {len(self.findings)}",
                *limited([f"- {finding.message}" for finding in self.findings])]

    def marks(self, quotation: Quotation) -> str:
        return f"{self.prompt[quotation.opened]}…{self.prompt[quotation.closed]}"


def limited(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more"]


def check_prompt(prompt: str, rules: str = NATURAL, original: str | None = None) -> PromptReport:
    """Say which texts of a prompt the glyph encoder reads, and what may go wrong.

    rules: as in ``quoted_texts``. original: the prompt before it was rewritten, whose quoted texts must all still be
    there. Raises GLMImageError on other rules, and on text with unpaired surrogates.
    """
    check_text("prompt", prompt)
    check_text("original", original or "")
    read, natural = read_quotations(prompt, rules).quotations, read_quotations(prompt, NATURAL)
    findings = [*check_marks(prompt, natural, {*read, *natural.quotations}), *check_texts(prompt, read)]
    if rules == DIFFUSERS:
        findings += check_upstream(prompt, read, natural.quotations)
    if original is not None:
        findings += check_kept(read, read_quotations(original, rules).quotations)
    return PromptReport(prompt, rules, tuple(read), tuple(sorted(findings, key=lambda finding: finding.start)))
