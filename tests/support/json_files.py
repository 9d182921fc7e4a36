"""JSON files that are whole at any moment. Does without torch."""

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, data: Any) -> None:
    """Write beside the file, then put it in place: a process that is killed leaves what was written last."""
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(beside, path)
