"""NVIDIA's 4-bit floating point: each group of 16 numbers of a row has an fp8 scale, the matrix one float32 scale."""

import torch
from einops import rearrange
from torch import Tensor

from .format import SCALE, SMALLEST_SCALE, WEIGHT, Format
from .fp8 import E4M3, E4M3_MAX

TENSOR_SCALE = "weight_scale_2"
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])  # values of the lower three bits; the fourth is the sign
E2M1_MAX = E2M1[-1]
GROUP = 16  # numbers of a row that share a scale
# matrix units read scales in tiles of 128 rows x 4 columns, in which row 32 * high + low is at 4 * low + high
# (cuBLAS documentation, "1D Block Scaling Factors Layout")
HIGH, LOW, ACROSS = 4, 32, 4
TILE_ROWS = HIGH * LOW


def write_nvfp4(matrix: Tensor) -> dict[str, Tensor]:
    """weight: uint8 [rows, columns / 2], two numbers per byte; weight_scale: see ``to_tiles``; weight_scale_2: []."""
    groups = rearrange(matrix, "row (group number) -> row group number", number=GROUP)
    tensor_scale = (matrix.abs().amax() / (E4M3_MAX * E2M1_MAX)).clamp(min=SMALLEST_SCALE)
    scales = (groups.abs().amax(2) / E2M1_MAX / tensor_scale).to(E4M3)
    full_scales = (scales.float() * tensor_scale).clamp(min=SMALLEST_SCALE)
    numbers = rearrange(groups / full_scales[..., None], "row group number -> row (group number)")
    return {WEIGHT: pack(to_e2m1(numbers)), SCALE: to_tiles(scales), TENSOR_SCALE: tensor_scale}


def read_nvfp4(layer: dict[str, Tensor]) -> Tensor:
    """What ``write_nvfp4`` gave → float32 [rows, columns]."""
    numbers = from_e2m1(unpack(layer[WEIGHT]))
    groups = rearrange(numbers, "row (group number) -> row group number", number=GROUP)
    scales = from_tiles(layer[SCALE].view(E4M3).float(), *groups.shape[:2])
    full_scales = scales * layer[TENSOR_SCALE]
    return rearrange(groups * full_scales[..., None], "row group number -> row (group number)")


def to_e2m1(numbers: Tensor) -> Tensor:
    """The bits of the E2M1 number nearest to each: uint8 of the same shape, 0...15."""
    halfway = (E2M1[1:] + E2M1[:-1]) / 2
    magnitude = torch.bucketize(numbers.abs(), halfway).byte()
    sign = (numbers < 0).byte()
    return magnitude | sign << 3


def from_e2m1(bits: Tensor) -> Tensor:
    """Inverse of ``to_e2m1``: float32 of the same shape."""
    return torch.cat((E2M1, -E2M1))[bits.long()]


def pack(bits: Tensor) -> Tensor:
    """uint8 [rows, columns], 0...15 → [rows, columns / 2]; the first of two numbers takes the high bits."""
    first, second = rearrange(bits, "row (byte pair) -> pair row byte", pair=2)
    return first << 4 | second


def unpack(packed: Tensor) -> Tensor:
    """Inverse of ``pack``."""
    return rearrange([packed >> 4, packed & 15], "pair row byte -> row (byte pair)")


def to_tiles(scales: Tensor) -> Tensor:
    """Scales [rows, columns], padded with zeros to whole tiles and reordered tile by tile; [padded rows, columns]."""
    rows, columns = scales.shape
    padded = torch.zeros(round_up(rows, TILE_ROWS), round_up(columns, ACROSS), dtype=scales.dtype)
    padded[:rows, :columns] = scales
    in_order = rearrange(padded, "(down high low) (right across) -> (down right low high across)",
                         high=HIGH, low=LOW, across=ACROSS)
    return in_order.view(padded.shape)


def from_tiles(tiles: Tensor, rows: int, columns: int) -> Tensor:
    """Inverse of ``to_tiles``: scales [rows, columns]."""
    padded = rearrange(tiles.flatten(), "(down right low high across) -> (down high low) (right across)",
                       down=tiles.shape[0] // TILE_ROWS, high=HIGH, low=LOW, across=ACROSS)
    return padded[:rows, :columns]


def round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


NVFP4 = Format("nvfp4", "nvfp4", "4 bits, for Blackwell cards", write_nvfp4, read_nvfp4,
               (WEIGHT, SCALE, TENSOR_SCALE), torch.uint8, side_multiple=GROUP)
