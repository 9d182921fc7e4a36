"""The check of prompts: the table that was written before it, and what holds of any prompt."""

import re
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_core.errors import GLMImageError
from glm_core.glyph import DIFFUSERS, NATURAL, check_prompt, quoted_texts, rewrite_instructions
from glm_core.glyph.rewrite import CHINESE, ENGLISH
from tests.glyph.prompts_to_check import ALL, CLEAN_CHINESE, CLEAN_ENGLISH, REFERENCE_RULE, REWRITTEN

HELP = Path(__file__).resolve().parents[2] / "web" / "docs" / "GLMImagePromptCheck.md"
EXAMPLES = re.findall(r"^```\n(.+)\n```$", HELP.read_text(encoding="utf-8"), re.MULTILINE)
PIECES = ["a", " ", "\n", ".", ": ", "《", "》", "`", "﹁", "﹂", "<<", ">>", "&quot;", "'", '"', "“", "”", "「", "」",
          "‘", "’", "sign ", "says ", "the text ", "Hello ", "titled ", "letters ", "写着", "标题", "为", "你好",
          "四个大字", "字样"]


def check_row(rules, prompt, texts, expected):
    report = check_prompt(prompt, rules)
    assert [quotation.text for quotation in report.quotations] == texts
    found = [(finding.kind, finding.start) for finding in report.findings]
    assert found == [(kind, prompt.rindex(part) if part == '"' else prompt.index(part)) for kind, part in expected]


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
    assert all(f"({text})" in finding.message for finding, text in zip(findings, lost, strict=True))


def test_the_report():
    report = check_prompt("a sign “OPEN”, a note saying hello. Also “GO\" on a wall, “NO", original='"SHUT"')
    assert report.lines() == [
        "texts to be written: 1 (rule natural)",
        "  “…”  OPEN",
        "findings: 4",
        "- a quoted text of the original prompt is missing (SHUT): put it back, exactly as it was",
        '- text requested without quotation marks (saying hello): put the words to be written in "…" or “…”',
        '- a quotation that begins with “ and ends with " (“GO"), so its text is not read: use one style of marks',
        "- an unpaired quotation mark (“NO), so no text is read: add the other mark, or delete this one",
    ]


def test_a_report_without_findings():
    assert check_prompt("a fox", DIFFUSERS).lines() == ["texts to be written: 0 (rule reference)", "findings: 0"]


def test_a_long_report_is_cut():
    lines = check_prompt("a sign saying hello. " * 100).lines()
    assert len(lines) < 50 and lines[-1] == "and 60 more"


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.sampled_from([NATURAL, DIFFUSERS]))
def test_what_holds_of_any_prompt(prompt, rules):
    report = check_prompt(prompt, rules, original=prompt)
    assert [quotation.text for quotation in report.quotations] == [text for text in quoted_texts(prompt, rules)
                                                                   if text or report.quotations]
    starts = [finding.start for finding in report.findings]
    assert starts == sorted(starts) and all(0 <= start < len(prompt) for start in starts)
    assert all(len(line.splitlines()) == 1 for line in report.lines())
    assert "lost" not in {finding.kind for finding in report.findings}


@given(st.sampled_from([prompt for prompt, *_ in CLEAN_ENGLISH + CLEAN_CHINESE]),
       st.sampled_from(["“OPEN”", "'OPEN'", "「营业中」"]))
def test_a_request_that_is_quoted_gives_no_finding(before, quoted):
    added = f"{before}\na sign saying {quoted}。招牌上写着{quoted}"
    kinds = {finding.kind for finding in check_prompt(added).findings}
    assert kinds <= {"order"}


@pytest.mark.parametrize("piece", ["'", '"', "“a “", "`a` “", "a“b\" ", "sign ", "sign says ", "with the text ",
                                   "change the text ", "A B ", "写着", "标题为", "标题《a》", "四个大字", "<<a>>",
                                   "sign  "])
def test_time_grows_with_length_alone(piece):
    """20,000 characters in less than a second, at the third try at the latest."""
    prompt = (piece * 20_000)[:20_000]
    assert any(seconds_of_check(prompt) < 1 for _ in range(3))


def seconds_of_check(prompt):
    started = process_time()
    check_prompt(prompt).lines()
    return process_time() - started


def test_unknown_rules_are_refused():
    with pytest.raises(GLMImageError, match="quotes must be one of reference, natural"):
        check_prompt("x", "smart")


def test_the_help_page_has_examples():
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("prompt", EXAMPLES)
def test_examples_of_the_help_page_give_no_finding(prompt):
    report = check_prompt(prompt)
    assert report.quotations and not report.findings


@pytest.mark.parametrize("prompt, template", [
    ('a sign "OPEN" and “GO”', ENGLISH), ("招牌“营业中”", CHINESE), ("a fox", ENGLISH), ("一只狐狸，sign", CHINESE),
])
def test_instructions_list_the_quoted_texts_and_end_with_the_prompt(prompt, template):
    instructions = rewrite_instructions(prompt)
    assert instructions.startswith(template) and instructions.endswith(f"\n{prompt}")
    texts = check_prompt(prompt).quotations
    assert all(f"\n{prompt[text.opened : text.closed + 1]}\n" in instructions for text in texts)


def test_instructions_themselves_quote_nothing():
    for template in (ENGLISH, CHINESE):
        assert quoted_texts(template, DIFFUSERS) == quoted_texts(template, NATURAL) == [""]


def test_unpaired_surrogates_are_refused_wherever_they_are():
    for name, read in (("prompt", check_prompt), ("prompt", rewrite_instructions),
                       ("original", lambda text: check_prompt("a", original=text))):
        with pytest.raises(GLMImageError, match=f"^{name} must be text without unpaired surrogates"):
            read('a "\udcff"')
