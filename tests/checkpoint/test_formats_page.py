"""docs/formats.md: its rows are the formats that are read and written here, with the errors that they have."""

import re

import pytest
import torch

from glm_core.checkpoint import FOREIGN, FORMATS
from glm_core.checkpoint.formats.quantise import quantised_layer
from tests.checkpoint.test_foreign import ERRORS
from tests.support import foreign
from tests.support.hosts import PACK

COLUMNS = ["format", "written by", "how to load it", "error", "planner", "diffusion model", "card"]
MATRIX = torch.randn(128, 4096, generator=torch.Generator().manual_seed(0))
WRITERS = {"SDNQ uint4": foreign.sdnq_uint4, "SDNQ int5": foreign.sdnq_int5, "SDNQ int8": foreign.sdnq_int8,
           "bitsandbytes nf4": foreign.bnb_nf4, "bitsandbytes int8": foreign.bnb_int8}
LOADED = {"released folder (bf16)", "single files (bf16)", *(f"`{name}`" for name in FORMATS)}
CONVERTED = {*WRITERS, "AutoRound int4"}


def read_rows() -> dict[str, dict[str, str]]:
    """The page's table: by format, the cells by their columns' names."""
    lines = [line for line in (PACK / "docs" / "formats.md").read_text().splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert header == COLUMNS
    return {row[0]: dict(zip(header, row)) for row in rows}


ROWS = read_rows()


def measured(name: str) -> float:
    """The relative error of a format."""
    if name in WRITERS:
        return float((WRITERS[name](MATRIX).matrix - MATRIX).norm() / MATRIX.norm())
    if name.startswith("`"):
        return quantised_layer("weight", MATRIX, FORMATS[name.strip("`")])[1].relative
    return ERRORS["autoround_int4"]


def test_every_format_has_its_row():
    assert ROWS.keys() == LOADED | CONVERTED | {"GGUF"}
    assert {name.split()[0] for name in CONVERTED} == {name.split()[0] for name in FOREIGN}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_how_to_load_the_format(name):
    way = ROWS[name]["how to load it"]
    assert way.startswith("directly" if name in LOADED else "convert" if name in CONVERTED else "not read")
    if name.startswith("`"):
        assert f"`convert --quantise {name.strip('`')}`" in ROWS[name]["written by"]


@pytest.mark.parametrize("name", [name for name in ROWS if name in CONVERTED or name.startswith("`")])
def test_a_row_has_the_error_that_is_measured(name):
    digits = re.fullmatch(r"(\d+(?:\.(\d))?) %", ROWS[name]["error"])
    assert digits, ROWS[name]["error"]
    assert 100 * measured(name) == pytest.approx(float(digits[1]), abs=0.05 if digits[2] else 0.5)


@pytest.mark.parametrize("part", ["planner", "diffusion model"])
def test_sizes_follow_the_bits(part):
    """What is quantised is half as large in int8 as in bf16; what is not stays."""
    sizes = {name: float(row[part].removesuffix(" GB")) for name, row in ROWS.items() if row[part]}
    large = 2 * (sizes["released folder (bf16)"] - sizes["`int8`"])
    bits = {"SDNQ uint4": 5, "SDNQ int5": 5.25, "SDNQ int8": 8, "AutoRound int4": 4.16, "bitsandbytes nf4": 4.5,
            "bitsandbytes int8": 8}  # with scales and zero points
    for name in CONVERTED:
        expected = sizes["released folder (bf16)"] - large * (1 - bits[name] / 16)
        assert sizes[name] == pytest.approx(expected, abs=0.1), name
