"""The rows of codes in embedding tables: their initial values, and how they follow changes of the codebook."""

import torch
from torch import Tensor, nn

from ..posters import CELL_CODES, PAIRS, reduced_code


def part_vectors(width: int) -> dict[str, Tensor]:
    """A random vector [width] for every part of a code: letter, kind, colour, size ...

    A pair of letters has the sum of its letters' vectors, divided by the square root of 2.
    """
    generator = torch.Generator().manual_seed(0)
    parts = dict.fromkeys(part for code in CELL_CODES for part in code)
    vectors = {part: torch.randn(width, generator=generator) for part in parts}
    for pair in PAIRS:
        first, second = pair
        vectors[pair] = (vectors[first] + vectors[second]) / 2**0.5
    return vectors


@torch.no_grad()
def initialise_code_rows(table: nn.Embedding) -> None:
    """Give similar rows to codes that have parts in common, so that what is learned for one code helps the others."""
    vectors = part_vectors(table.embedding_dim)
    for code, i in CELL_CODES.items():
        parts = torch.stack([vectors[part] for part in code])
        table.weight[i] = 0.5 * parts.sum(0) / len(code) ** 0.5


@torch.no_grad()
def split_codes(*tables: nn.Embedding | nn.Linear) -> None:
    """Go from the reduced codebook to the full one: every code starts with the row of its reduced code.

    To tell the codes apart, the vectors of the parts in which the two codes differ are added. The first rows of the
    tables must be those of the codes. Source: splitting in Linde, Buzo and Gray (1980).
    """
    for table in tables:
        vectors = part_vectors(table.weight.shape[1])
        scale = 0.5 * table.weight.std()
        for code, i in CELL_CODES.items():
            reduced = reduced_code(code)
            added = [vectors[part] for part, reduced_part in zip(code, reduced) if part != reduced_part]
            table.weight[i] = table.weight[CELL_CODES[reduced]] + scale * sum(added)


@torch.no_grad()
def join_pairs(table: nn.Embedding) -> None:
    """Give every code of a pair of letters the mean of its letters' rows."""
    for code, i in CELL_CODES.items():
        if code[0] == "letter" and len(code[1]) == 2:
            kind, pair, *details = code
            first, second = (table.weight[CELL_CODES[(kind, letter, *details)]] for letter in pair)
            table.weight[i] = (first + second) / 2
