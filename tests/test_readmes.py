"""README.md and its Chinese translation, docs/README.zh.md: the same sections, rows, commands and figures."""

import json
import re

import pytest

from tests.support.hosts import PACK
from tests.support.node_sources import read_nodes

ENGLISH, CHINESE = ((PACK / path).read_text(encoding="utf-8") for path in ("README.md", "docs/README.zh.md"))
BOTH = pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
Table = list[list[str]]  # rows of cells; the first has the headings


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ .+$", without_code(text), re.MULTILINE)


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def tables(text: str) -> list[Table]:
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|---" not in line]
            for table in found]


def commands(text: str) -> list[str]:
    """All lines of code but comments."""
    lines = [line.strip() for block in re.findall(r"```\w+\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [line for line in lines if not line.startswith("#")]


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+(?:\.\d+)?", text))


def code(text: str) -> list[str]:
    return re.findall(r"`[^`]+`", text)


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.lstrip("# ").lower()).replace(" ", "-")


def test_the_sections_are_the_same():
    assert [len(line.split()[0]) for line in headings(CHINESE)] == [len(line.split()[0]) for line in headings(ENGLISH)]


def test_the_tables_have_the_same_rows():
    """In them, numbers and code are what is not translated."""
    assert len(tables(CHINESE)) == len(tables(ENGLISH))
    for chinese, english in zip(tables(CHINESE), tables(ENGLISH)):
        assert [len(row) for row in chinese] == [len(row) for row in english]
        for row, expected in zip(chinese, english):
            assert numbers(" ".join(row)) == numbers(" ".join(expected))
            assert code(" ".join(row)) == code(" ".join(expected))


def test_the_nodes_have_their_chinese_names():
    names = json.loads((PACK / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
    translated = {node.display_name: names[node.node_id]["display_name"] for node in read_nodes()}
    english, chinese = (next(table for table in tables(text) if table[0][0] == heading)
                        for text, heading in ((ENGLISH, "node"), (CHINESE, "节点")))
    assert [row[0] for row in chinese[1:]] == [translated[row[0]] for row in english[1:]]


@BOTH
def test_every_workflow_is_listed(text):
    workflows = {path.stem for path in (PACK / "workflows").glob("*.json")}
    assert workflows == {name for name in workflows if f"`{name}`" in text}


def test_the_commands_are_the_same():
    assert commands(CHINESE) == commands(ENGLISH)


def test_the_figures_are_the_same():
    """tests/figures writes both."""
    chinese, english = (re.findall(r"\d[\d.]* %", text.split("<!-- figures: words -->")[1].split("<!--")[0])
                        for text in (CHINESE, ENGLISH))
    assert chinese == english


def test_the_links_are_the_same():
    """To the Chinese help pages in the Chinese text; between the two apart."""
    chinese, english = ({(folder / link).resolve() for link in re.findall(r"\]\(([^)#]+)", text) if ":" not in link}
                        for text, folder in ((CHINESE, PACK / "docs"), (ENGLISH, PACK)))
    pages = {path.parent.with_suffix(".md") if path.name == "zh.md" else path for path in chinese}
    assert pages - {PACK / "README.md"} == english - {PACK / "docs" / "README.zh.md"}


@BOTH
def test_links_lead_to_sections(text):
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= {anchor(heading) for heading in headings(text)}


def test_each_links_to_the_other():
    assert "](docs/README.zh.md)" in ENGLISH
    assert "](../README.md)" in CHINESE
