"""Tables in CSV files that others wrote."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from ..errors import GLMImageError
from ..evaluation.tasks import is_text
from ..files import read_text


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, by column.

    Raises GLMImageError if it is no such file, lacks one of ``columns``, or a row lacks a value in them.
    """
    try:
        rows = list(csv.DictReader(StringIO(read_text(path, str(path)), newline=""), strict=True))
    except csv.Error as error:
        raise GLMImageError(f"{path}: must be a CSV file ({error})") from error
    for i, row in enumerate(rows, 1):
        for column in columns:
            if not is_text(row.get(column)):
                raise GLMImageError(f"{path}, row {i}: must have a value in the column {column} (got none)")
    if not rows:
        raise GLMImageError(f"{path} must have at least one row below its header (got none)")
    return rows
