"""What a part found, written to its JSON file after every addition, so that a run that is cut keeps it.

Does without torch, since a process inside ComfyUI must set up its memory manager before torch is imported.
"""

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.json_files import write_json


class Record:
    """The results of one part.

    facts: about the machine. checks: what had to hold, with a traceback where it did not. figures: what was measured.
    """

    def __init__(self, path: Path, facts: dict[str, Any]):
        self.path = path
        self.data: dict[str, Any] = {"facts": facts, "checks": [], "figures": []}
        self.save()

    def save(self) -> None:
        write_json(self.path, self.data)

    def check(self, what: str, work: Callable[[], object]) -> None:
        """Run ``work``; what it returns is kept as a remark, and an exception as its traceback."""
        start = time.perf_counter()
        entry: dict[str, Any] = {"what": what, "passed": True}
        try:
            remark = work()
            if remark is not None:
                entry["remark"] = str(remark)
        except Exception:
            entry |= {"passed": False, "traceback": traceback.format_exc()}
        entry["seconds"] = round(time.perf_counter() - start, 2)
        self.data["checks"].append(entry)
        self.save()
        print(f"{'ok    ' if entry['passed'] else 'FAILED'} {what}: {entry.get('remark', '')}",
              entry.get("traceback", ""), sep="\n" if "traceback" in entry else "", flush=True)

    def figure(self, what: str, value: float, unit: str) -> None:
        self.data["figures"].append({"what": what, "value": float(value), "unit": unit})
        self.save()
        print(f"{what}: {value:.4g} {unit}", flush=True)

    @property
    def passed(self) -> bool:
        return all(entry["passed"] for entry in self.data["checks"])
