"""Text chunks of PNG files: written beside a picture, and found again without decoding it."""

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import GLMImageError
from ..files import check_file

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT, COMPRESSED_TEXT, UNICODE_TEXT, END = b"tEXt", b"zTXt", b"iTXt", b"IEND"
MOST_CHUNKS = 2**16
LONGEST_KEYWORD = 79  # bytes, by the standard


def write_png(image: Image.Image, path: str | os.PathLike | BinaryIO, texts: Mapping[str, str]) -> None:
    """Write a picture with a tEXt chunk for each of the texts in ASCII, by keyword."""
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    image.save(path, "PNG", pnginfo=info)


def is_png(path: str | os.PathLike, source: str) -> bool:
    with check_file(path, source).open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def read_text_chunk(path: str | os.PathLike, keyword: str, most: int, source: str) -> bytes | None:
    """The text of the tEXt chunk with this keyword, at most ``most`` bytes; None if there is no such chunk.

    Neither the picture nor another chunk is read. Raises GLMImageError, naming ``source``, if the file ends too early,
    has no end or too many chunks, or if the chunk is damaged, too long, compressed or there twice.
    """
    text = None
    with Path(path).open("rb") as file:
        for kind, length, start in chunks(file, source):
            if kind in (TEXT, COMPRESSED_TEXT, UNICODE_TEXT) and keyword_at(file, start, length) == keyword.encode():
                check_chunk(kind, length, most, source)
                if text is not None:
                    raise GLMImageError(f"{source}: must carry one plan (got several)")
                text = read_chunk(file, kind, length, start, source).partition(b"\0")[2]
    return text


def chunks(file: BinaryIO, source: str) -> Iterator[tuple[bytes, int, int]]:
    """Kind, length and place of the data of each chunk up to the end of the picture."""
    size = os.fstat(file.fileno()).st_size
    place = len(SIGNATURE)
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        start = place + 8
        place = start + length + 4  # after the data comes a checksum
        if place > size:
            raise GLMImageError(f"{source}: not a complete PNG file (its {size} bytes end before its last chunk)")
        if kind == END:
            return
        yield kind, length, start
    raise GLMImageError(f"{source}: a PNG file must have at most {MOST_CHUNKS} chunks")


def keyword_at(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(min(length, LONGEST_KEYWORD + 1)).partition(b"\0")[0]


def check_chunk(kind: bytes, length: int, most: int, source: str) -> None:
    if kind != TEXT:
        raise GLMImageError(f"{source}: its plan must be in a plain text chunk, tEXt (got {kind.decode()}, as programs "
                            "write that edit images); load the file as GLM-Image Save Plan wrote it")
    if length > most:
        raise GLMImageError(f"{source}: its plan must have at most {most} bytes of text (got {length})")


def read_chunk(file: BinaryIO, kind: bytes, length: int, start: int, source: str) -> bytes:
    file.seek(start)
    data, checksum = file.read(length), int.from_bytes(file.read(4), "big")
    if zlib.crc32(kind + data) != checksum:
        raise GLMImageError(f"{source}: its plan is damaged (the checksum of its text chunk is wrong)")
    return data
