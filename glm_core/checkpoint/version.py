"""The version of this pack."""

import re
from pathlib import Path

from ..files import read_text

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def pack_version() -> str:
    """As pyproject.toml has it; Python 3.10 cannot parse TOML."""
    found = re.search(r'^version = "(.+)"$', read_text(PYPROJECT, str(PYPROJECT)), re.MULTILINE)
    return found[1] if found else "unknown"
