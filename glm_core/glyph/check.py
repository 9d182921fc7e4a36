"""What of a prompt is passed on as text to be written, and what may go wrong with it."""

from dataclasses import dataclass

from .check_marks import check_marks
from .check_texts import check_kept, check_texts, check_upstream
from .findings import Finding, count, shorten
from .marks import Quotation
from .quotes import DIFFUSERS, NATURAL, read_quotations


@dataclass(frozen=True)
class PromptReport:
    """What ``check_prompt`` found.

    quotations: those whose texts are passed on to the glyph encoder, in the order in which it reads them. findings: in
    the order of the prompt.
    """

    prompt: str
    rules: str
    quotations: tuple[Quotation, ...]
    findings: tuple[Finding, ...]

    def lines(self) -> list[str]:
        """The texts and their marks, then one line for each finding."""
        texts = [f"{number}. {shorten(quotation.text)}   in {self.marks(quotation)}"
                 for number, quotation in enumerate(self.quotations, start=1)]
        return [f"{count(len(texts), 'text')} to be written, by the rule {self.rules}", *texts,
                count(len(self.findings), "finding"), *(f"- {finding.message}" for finding in self.findings)]

    def marks(self, quotation: Quotation) -> str:
        return f"{self.prompt[quotation.opened]}…{self.prompt[quotation.closed]}"


def check_prompt(prompt: str, rules: str = NATURAL, original: str | None = None) -> PromptReport:
    """Say which texts of a prompt are passed on to be written, and what may go wrong.

    rules: as in ``quoted_texts``. original: the prompt before a language model rewrote it; all of its quoted texts must
    still be there. Raises GLMImageError on other rules.
    """
    read, natural = read_quotations(prompt, rules).quotations, read_quotations(prompt, NATURAL)
    findings = [*check_marks(prompt, natural, {*read, *natural.quotations}), *check_texts(prompt, read)]
    if rules == DIFFUSERS:
        findings += check_upstream(prompt, read, natural.quotations)
    if original is not None:
        findings += check_kept(read, read_quotations(original, rules).quotations)
    return PromptReport(prompt, rules, tuple(read), tuple(sorted(findings, key=lambda finding: finding.start)))
