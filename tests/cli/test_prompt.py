"""``prompt``: the report of a prompt, and the exit code."""

import pytest

from glm_core.glyph import check_prompt, rewrite_instructions
from tests.support.command_line import error_line, run


def test_a_prompt_without_findings(capsys):
    assert run("prompt", 'a sign "OPEN"') == 0
    assert capsys.readouterr().out.splitlines() == check_prompt('a sign "OPEN"').lines()


@pytest.mark.parametrize("prompt, options, expected", [
    ("写着你好的招牌", [], "写着你好的招牌"),
    ("it's here, isn't it", ["--reference-quotes"], "'s here, isn'"),
    ('a sign "Open"', ["--original", 'a sign "OPEN"'], "(OPEN)"),
])
def test_findings_are_listed_and_the_exit_code_is_1(capsys, prompt, options, expected):
    assert run("prompt", prompt, *options) == 1
    captured = capsys.readouterr()
    assert "findings: 1" in captured.out and expected in captured.out.splitlines()[-1]
    assert captured.err == "error: the prompt must give no findings (got 1, see above)\n"


def test_instructions_instead_of_the_report(capsys):
    assert run("prompt", "a sign saying hello", "--instructions") == 0
    assert capsys.readouterr().out == rewrite_instructions("a sign saying hello") + "\n"


def test_other_text_than_unicode_is_refused(capsys):
    assert run("prompt", 'a sign "\ud800"') == 1
    assert "prompt must be text without unpaired surrogates" in error_line(capsys)
