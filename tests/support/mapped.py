"""Files that this process has mapped into memory; Linux says which."""

from pathlib import Path


def is_mapped(path: Path) -> bool:
    """Windows can neither replace nor delete such a file."""
    return str(path) in Path("/proc/self/maps").read_text(encoding="utf-8")
