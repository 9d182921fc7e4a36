"""The benchmark script runs, at its tiny size, and gives a figure for everything that it promises."""

import importlib
import json
import math
import pkgutil

import pytest

import tests.benchmarks
from tests.benchmarks.__main__ import main

PLANNER = {f"planner 2x64, batch 8{figure}" for figure in ("", " ÷ one by one", ", upstream one by one")} | {
    f"planner 2x64, batch {batch}{figure}" for batch in (1, 4, 16)
    for figure in ("", ": to the first token", ": from there on", ": share of memory roofline")}
LOOKAHEAD = {f"embedded, {name}, {tokens} tokens a pass{figure}" for name in ("grid", "free", "chinese")
             for tokens in (4, 8, 16) for figure in ("", ": passes a plan")}
DIT = {"DiT run 64², 2 guided steps"} | {
    f"DiT step {step}{figure}" for step in ("64², 2 of 2 layers", "128², 1 of 2 layers")
    for figure in ("", ": share of matrix rate")}
VAE = {"VAE decode 64²", "VAE encode 64²"}
IMAGE = {"whole picture 32², 2 guided steps"}
MEMORY = {"peak memory, whole picture 32²"}


def run(tmp_path, *options) -> dict:
    out = tmp_path / "out.json"
    assert main(["--size", "tiny", "--json", str(out), *options]) == 0
    return json.loads(out.read_text())


def check_measures(results: dict, expected: set[str]) -> None:
    assert {measure["what"] for measure in results["measures"]} == expected
    for measure in results["measures"]:
        assert measure["ratio"] == pytest.approx(measure["ours"] / measure["upstream"])
        assert 0 < measure["ours"] < math.inf and 0 < measure["upstream"] < math.inf


def test_every_ratio_is_there_and_both_sides_do_the_same(tmp_path):
    results = run(tmp_path, "--only", "planner", "--only", "dit", "--only", "vae", "--only", "image")
    check_measures(results, PLANNER | DIT | VAE | IMAGE)
    assert min(results["speeds"].values()) > 0
    assert "8 of 8 tokens of the greedy plan are the same on both sides" in results["notes"][0]
    for note in results["notes"][1:]:
        assert float(note.partition("differ by ")[2].split()[0]) < 1e-5


def test_lookahead_needs_fewer_passes_for_the_same_plans(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.benchmarks.lookahead.default_side", lambda model: 128)
    results = run(tmp_path, "--only", "lookahead")
    check_measures(results, LOOKAHEAD)
    assert all("1 of 1 plans are the same" in note for note in results["notes"]) and len(results["notes"]) == 9
    assert all(measure["ratio"] < 1 for measure in results["measures"] if "passes" in measure["what"])


def test_growth_has_a_table_for_every_part(tmp_path):
    tables = run(tmp_path, "--growth")["growth"]
    parts = [table["what"].partition(",")[0] for table in tables]
    assert parts == ["planner 2x64", "DiT", "DiT", "VAE decode", "VAE decode"]
    for table in tables:
        assert len(table["seconds"]) == len(table["sides"]) == len(table["exponents"]) + 1
        assert min(table["seconds"]) > 0


@pytest.mark.long
def test_peak_memory_has_a_figure(tmp_path):
    check_measures(run(tmp_path, "--only", "memory"), MEMORY)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(tests.benchmarks.__path__)])
def test_every_module_is_importable(name):
    """Some are commands of their own, which no test runs."""
    importlib.import_module(f"tests.benchmarks.{name}")
