"""``python -m tests.gpu`` on the CPU: its parts at the tiny size, and what a run keeps when parts fail or time ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.gpu import parity
from tests.gpu.__main__ import main
from tests.gpu.parity import Side
from tests.gpu.parts import PARTS, Part, Setting
from tests.gpu.record import Record
from tests.gpu.running import Run
from tests.gpu.targets import Found, judge_all
from tests.gpu.tokens import tokens
from tests.support.hosts import PACK
from tests.test_benchmarks import DIT, IMAGE, MEMORY

CPU = torch.device("cpu")
SETTING = Setting("cpu", "tiny", None, None)
WRITE_AND_WAIT = """
import sys, time
from pathlib import Path
from tests.gpu.record import Record
Record(Path(sys.argv[1]), {}).figure("half", 0.5, "s")
time.sleep(60)
"""


def script(name: str, text: str, seconds: int = 30, modules: tuple[str, ...] = ()) -> Part:
    """A part that runs a few lines of Python, with the path of its JSON file as the argument."""
    return Part(name, name, seconds, lambda setting, path: ["-c", text, str(path)], modules)


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def run_parts(folder: Path, *parts: Part, minutes: float = 1) -> dict:
    run = Run(folder, SETTING, parts, minutes)
    for part in parts:
        run.run(part)
    return results(folder)["parts"]


def test_networks_on_the_device_are_those_on_the_cpu(tmp_path):
    record = Record(tmp_path / "parity.json", {})
    parity.parity(record, CPU, "tiny")
    assert record.passed and len(record.data["checks"]) == 27
    assert json.loads(record.path.read_text()) == record.data


def test_a_network_and_a_recorded_pass_that_differ_fail_their_own_checks_alone(tmp_path, monkeypatch):
    plan = Side.plan
    monkeypatch.setitem(parity.OUTPUTS, "VAE decode", lambda side: side.decoded() + (side.compute is not parity.CPU))
    monkeypatch.setattr(Side, "plan", lambda side, recorded, **options: plan(side, recorded, **options) + recorded)
    record = Record(tmp_path / "parity.json", {})
    parity.parity(record, CPU, "tiny")
    failed = {check["what"]: check["traceback"] for check in record.data["checks"] if not check["passed"]}
    networks = [what for what in failed if "recorded" not in what]
    assert networks == ["cpu float32: VAE decode", "cpu bfloat16: VAE decode"]
    assert all("must be at most" in failed[what] for what in networks)
    assert "cpu float32: recorded = plain" in failed


def test_every_target_has_its_figure(tmp_path):
    """Names of figures are written in one place and read in another."""
    record = Record(tmp_path / "tokens.json", {})
    tokens(record, CPU, "tiny")
    in_comfyui = [figure | {"what": figure["what"].replace("recorded", "default")} for figure in record.data["figures"]]
    rows = {name: [{"what": what, "ours": 2.0, "upstream": 1.0, "ratio": 2.0} for what in expected]
            for name, expected in (("dit", DIT), ("image", IMAGE), ("memory", MEMORY))}
    found = {name: {"measures": measures} for name, measures in rows.items()}
    found |= {"tokens": record.data, "comfyui-tokens": {"figures": in_comfyui},
              "comfyui-tokens-int8": {"figures": in_comfyui},
              "comfyui-image-int8": {"figures": [{"what": "whole picture 32², 2 guided steps", "value": 10.0}]},
              "comfyui-memory-int8": {"figures": [{"what": "peak memory, largest stage", "value": 9.0}]}}
    run = {"about": {"size": "tiny"}, "parts": found}
    assert not [entry for entry in judge_all(run) if "value" not in entry]
    assert {entry["verdict"] for entry in judge_all(run)} == {"not measured"}  # tiny figures are not judged
    assert Found(run).speed_up_in_int8() == 6 and Found(run).int8_gain() == 1


def test_targets_are_judged_at_the_released_size():
    def verdict(share: float) -> str:
        figure = {"what": "recorded, batch 1: share of memory roofline", "value": share}
        run = {"about": {"size": "full"}, "parts": {"tokens": {"figures": [figure]}}}
        return judge_all(run)[1]["verdict"]

    assert verdict(70.0) == "met" and verdict(69.9) == "missed"
    nothing = judge_all({"about": {"size": "full"}, "parts": {}})
    assert {entry["verdict"] for entry in nothing} == {"not measured"} and all(entry["why"] for entry in nothing)


def test_the_command_runs_a_part_and_names_those_it_skips(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tests.gpu.__main__.find_hosts", list)
    skipped = ["comfyui-dynamic", "comfyui-static"]
    only = [option for name in ("machine", *skipped) for option in ("--only", name)]
    assert main(["--out", str(tmp_path), "--device", "cpu", *only]) == 0
    parts, printed = results(tmp_path)["parts"], capsys.readouterr().out
    assert parts["machine"]["status"] == "done"
    assert {figure["what"] for figure in parts["machine"]["figures"]} == {"copy bandwidth", "matrix rate"}
    assert parts["comfyui-dynamic"]["why"] == "needs an NVIDIA GPU"
    assert parts["comfyui-static"]["why"] == "needs ComfyUI (--comfyui DIR, or COMFYUI_PATH)"
    assert {parts[part.name]["status"] for part in PARTS} == {"done", "skipped", "not run"}
    assert "| machine " in printed and printed.count("not measured") == len(results(tmp_path)["targets"])
    assert "copy bandwidth" in (tmp_path / "RESULTS.md").read_text()


def test_a_missing_package_is_named(tmp_path):
    parts = run_parts(tmp_path, script("picture", "", modules=("json", "no_such_package")))
    assert parts["picture"]["status"] == "skipped" and parts["picture"]["why"] == "needs no_such_package"


def test_a_part_that_fails_leaves_its_traceback_and_the_others_run(tmp_path):
    parts = run_parts(tmp_path, script("broken", "1 / 0"), script("whole", ""))
    assert parts["broken"]["status"] == "failed" and "ZeroDivisionError: division by zero" in parts["broken"]["log"]
    assert parts["whole"]["status"] == "done"


def test_a_part_that_takes_too_long_is_ended_and_keeps_its_figures(tmp_path):
    start = time.monotonic()
    parts = run_parts(tmp_path, script("slow", WRITE_AND_WAIT, seconds=3), script("next", ""))
    assert time.monotonic() - start < 20
    assert parts["slow"]["status"] == "cut" and parts["slow"]["why"] == "took longer than 3 s"
    assert parts["slow"]["figures"] == [{"what": "half", "value": 0.5, "unit": "s"}]
    assert parts["next"]["status"] == "done"


def test_no_part_begins_without_time(tmp_path):
    parts = run_parts(tmp_path, script("late", ""), minutes=0.1)
    assert parts["late"] == {"title": "late", "status": "not run", "why": "no time was left"}


def test_a_second_run_keeps_what_is_done(tmp_path):
    part = script("once", "")
    run_parts(tmp_path, part)
    assert Run(tmp_path, SETTING, [part], 1).is_done(part)
    assert not Run(tmp_path, Setting("cpu", "full", None, None), [part], 1).is_done(part)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} must be written"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_run_that_is_told_to_end_keeps_what_it_has(tmp_path):
    write_id = "open(sys.argv[1] + '.id', 'w').write(str(os.getpid()))"
    text = WRITE_AND_WAIT.replace("time.sleep", f"import os; {write_id}; time.sleep")
    program = f"""
from pathlib import Path
from tests.gpu.parts import Part, Setting
from tests.gpu.running import Run, Stopped, stop_on_signals

part = Part("slow", "slow", 30, lambda setting, path: ["-c", {text!r}, str(path)])
try:
    with stop_on_signals():
        Run(Path({str(tmp_path)!r}), Setting("cpu", "tiny", None, None), [part], 1).run(part)
except Stopped:
    print("stopped")
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=PACK, stdout=subprocess.PIPE, text=True)
    wait_for(tmp_path / "slow.json.id")
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=20)
    part = results(tmp_path)["parts"]["slow"]
    assert "stopped" in printed and part["status"] == "cut" and part["why"] == "the run was stopped"
    assert [figure["what"] for figure in part["figures"]] == ["half"]
    assert not is_running(int((tmp_path / "slow.json.id").read_text()))
