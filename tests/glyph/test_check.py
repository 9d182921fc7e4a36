"""The check of prompts: the table that was written before it, and what holds of any prompt."""

import pytest

from glm_core.glyph import DIFFUSERS, NATURAL
from glm_core.glyph.check import check_prompt
from tests.glyph.prompts_to_check import ALL, REFERENCE_RULE, REWRITTEN


def check_row(rules, prompt, texts, expected):
    report = check_prompt(prompt, rules)
    assert [quotation.text for quotation in report.quotations] == texts
    found = [(finding.kind, finding.start) for finding in report.findings]
    assert found == [(kind, prompt.index(part)) for kind, part in expected], report.lines()


@pytest.mark.parametrize("prompt, texts, expected", ALL)
def test_the_table(prompt, texts, expected):
    check_row(NATURAL, prompt, texts, expected)


@pytest.mark.parametrize("prompt, texts, expected", REFERENCE_RULE)
def test_the_table_of_the_reference_rule(prompt, texts, expected):
    check_row(DIFFUSERS, prompt, texts, expected)


@pytest.mark.parametrize("original, prompt, lost", REWRITTEN)
def test_texts_that_a_rewriting_lost(original, prompt, lost):
    findings = check_prompt(prompt, original=original).findings
    assert [finding.kind for finding in findings] == ["lost"] * len(lost)
    assert all(finding.message.startswith(f"{text}: ") for finding, text in zip(findings, lost, strict=True))
