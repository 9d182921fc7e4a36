"""The logs that training writes."""

import json
from pathlib import Path


def losses(folder: Path, stage: str) -> list[float]:
    lines = (folder / f"{stage}.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]
