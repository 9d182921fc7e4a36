"""The order of block scales in memory.

Matrix units read scales in tiles of 128 rows x 4 columns, in which row 32 * high + low is at 4 * low + high (cuBLAS
documentation, "1D Block Scaling Factors Layout"). Both sides are padded to whole tiles.
"""

from einops import rearrange
from torch import Tensor

HIGH, LOW, ACROSS = 4, 32, 4
TILE_ROWS = HIGH * LOW


def from_tiles(tiles: Tensor, rows: int, columns: int) -> Tensor:
    """Scales in tiles [padded rows, padded columns] → [rows, columns]."""
    padded = rearrange(tiles.flatten(), "(down right low high across) -> (down high low) (right across)",
                       down=tiles.shape[0] // TILE_ROWS, high=HIGH, low=LOW, across=ACROSS)
    return padded[:rows, :columns]
