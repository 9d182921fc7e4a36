"""Results as Markdown: rows for ``tests/benchmarks/RESULTS.md``, and the table of targets."""

from collections.abc import Iterator
from typing import Any

from tests.benchmarks.report import Measure, heading, line

from .targets import judge_all

TARGET_WIDTHS = 77, 12, 7, 12
FIGURE_WIDTHS = 60, 10, 10
STATUS_WIDTHS = 19, 7, 7, 40


def target_rows(results: dict[str, Any]) -> Iterator[str]:
    yield heading(("target", "", "found", ""), TARGET_WIDTHS)
    for entry in judge_all(results):
        value = f"{entry['value']:.3g}" if "value" in entry else ""
        yield line((entry["what"], entry["target"], value, entry["verdict"]), TARGET_WIDTHS)


def status_rows(results: dict[str, Any]) -> Iterator[str]:
    yield heading(("part", "status", "seconds", "why"), STATUS_WIDTHS)
    for name, part in results["parts"].items():
        failed = [check["what"] for check in part.get("checks", ()) if not check["passed"]]
        reason = f"failed: {'; '.join(failed)}" if failed else part.get("why", "")
        yield line((name, part["status"], str(part.get("seconds", "")), reason), STATUS_WIDTHS)


def measure_rows(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Of a section of ``tests.benchmarks``."""
    yield heading(("", "ours", "upstream", "unit", "ratio", "target"))
    for row in rows:
        yield line(Measure(row["what"], row["ours"], row["upstream"], row["unit"]).cells(with_target=False))


def figure_rows(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield heading(("", "found", "unit"), FIGURE_WIDTHS)
    for row in rows:
        yield line((row["what"], f"{row['value']:.4g}", row["unit"]), FIGURE_WIDTHS)


def part_lines(name: str, part: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {name}: {part['title']}\n"
    yield f"{part['status']}{', ' + part['why'] if part.get('why') else ''}"
    for check in part.get("checks", ()):
        remark = check.get("remark", "") if check["passed"] else check["traceback"].splitlines()[-1]
        yield f"- {'ok' if check['passed'] else 'FAILED'}: {check['what']}. {remark}"
    if part.get("measures"):
        yield from measure_rows(part["measures"])
    if part.get("figures"):
        yield from figure_rows(part["figures"])
    yield from (f"- {note}" for note in ["", *part["notes"]] if note) if part.get("notes") else ()


def markdown(results: dict[str, Any]) -> str:
    machine = results["parts"].get("machine", {}).get("facts", {})
    about = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines = [f"## On a GPU: {machine.get('hardware', 'unknown')}", "", f"`python -m tests.gpu`; {about}.",
             *target_rows(results), *status_rows(results)]
    for name, part in results["parts"].items():
        lines += part_lines(name, part)
    return "\n".join(lines) + "\n"


def summary(results: dict[str, Any]) -> str:
    return "\n".join([*status_rows(results), *target_rows(results)])
