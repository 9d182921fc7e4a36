"""A folder of converted files, made ready for upload to Hugging Face: model card, hashes, licences."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import read_metadata
from .cache import REPOSITORY
from .convert import RESTORED_METADATA, VERSION_METADATA
from .formats import FORMATS
from .parts import PARTS, Part
from .room import gigabytes
from .stream import OnBytes

CARD, SUMS = "README.md", "SHA256SUMS"
OWN_LICENCES = {"LICENSE": "MIT.txt", "LICENSE-X-OMNI": "APACHE-2.0.txt"}  # where the released folder has no such file
LICENCE_TEXTS = Path(__file__).resolve().parent / "licences"
LICENCE_NAMES = "LICENSE*", "LICENCE*", "NOTICE*"
BLOCK = 2**24  # bytes that are hashed at once


@dataclass(frozen=True)
class PublishedFile:
    """A part's file in the folder.

    format_name: None if it is not quantised. version: of the pack that wrote it. tool: which had quantised the source.
    """

    part: Part
    format_name: str | None
    name: str
    size: int
    version: str
    sha256: str
    tool: str | None


def publication_files(source: Path) -> list[str]:
    """The names of what ``write_publication`` writes."""
    return [CARD, SUMS, *licences(source)]


def write_publication(folder: Path, source: Path, on_bytes: OnBytes = lambda count: None) -> None:
    """Write card, hashes and licences beside the converted files in ``folder``; what was there is replaced.

    source: the folder that was converted; licence files in it are copied. Every converted file in ``folder`` is
    described, those of earlier runs too.
    """
    for name, path in licences(source).items():
        shutil.copyfile(path, folder / name)
    files = [describe_file(folder, *found, on_bytes) for found in published_paths(folder)]
    sums = {file.name: file.sha256 for file in files} | {name: sha256(folder / name) for name in licences(source)}
    write_text(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    write_text(folder / CARD, model_card(files))


def write_text(path: Path, text: str) -> None:
    """With the line ends of every system but Windows, as ``sha256sum -c`` needs them."""
    path.write_bytes(text.encode())


def licences(source: Path) -> dict[str, Path]:
    """Name in the published folder → the text: the source's own licences, and those that it lacks."""
    own = {name: LICENCE_TEXTS / file for name, file in OWN_LICENCES.items()}
    found = {path.name: path for pattern in LICENCE_NAMES for path in sorted(source.glob(pattern)) if path.is_file()}
    return own | found


def published_paths(folder: Path) -> list[tuple[Part, str | None, str]]:
    """Part, format and name of every converted file in ``folder``."""
    names = [(part, format_name, part.quantised_file(format_name) if format_name else part.file)
             for part in PARTS for format_name in (None, *FORMATS)]
    return [found for found in names if (folder / found[2]).is_file()]


def published_size(folder: Path) -> int:
    """Bytes of all converted files in ``folder``."""
    return sum((folder / name).stat().st_size for _, _, name in published_paths(folder))


def describe_file(folder: Path, part: Part, format_name: str | None, name: str, on_bytes: OnBytes) -> PublishedFile:
    path = folder / name
    metadata = read_metadata(path, str(path))
    return PublishedFile(part, format_name, name, path.stat().st_size,
                         metadata.get(VERSION_METADATA, "an earlier version"), sha256(path, on_bytes),
                         metadata.get(RESTORED_METADATA))


def sha256(path: Path, on_bytes: OnBytes = lambda count: None) -> str:
    """Hex digits of a file's hash, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            on_bytes(len(block))
    return digest.hexdigest()


def model_card(files: Sequence[PublishedFile]) -> str:
    """The text of README.md, with the front matter that Hugging Face reads."""
    return "\n".join([*front_matter(files), TITLE, *file_table(files), USE, *making(files), LICENCE])


def front_matter(files: Sequence[PublishedFile]) -> list[str]:
    quantised = any(file.format_name for file in files)
    return ["---", "license: mit", f"base_model: {REPOSITORY}",
            *(["base_model_relation: quantized"] if quantised else []), "pipeline_tag: text-to-image", "language:",
            "- en", "- zh", "tags:", "- comfyui", "- glm-image", "- text-to-image", "- image-to-image", "---"]


def file_table(files: Sequence[PublishedFile]) -> list[str]:
    rows = [f"| `{file.name}` | {file.part.title} | {format_text(file)} | {gigabytes(file.size)} "
            f"| `{file.sha256}` |" for file in files]
    return ["", "## Files", "", "| file | part | format | size | SHA-256 |", "|---|---|---|---|---|", *rows, "",
            f"`sha256sum -c {SUMS}` checks all of them after a download."]


def format_text(file: PublishedFile) -> str:
    stored = f"`{file.format_name}`: {FORMATS[file.format_name].summary}" if file.format_name else "as released"
    if file.tool is None:
        return stored
    restored = f"restored to 16 bits from weights that {file.tool} quantised"
    return f"{stored}, {restored}" if file.format_name else restored


def making(files: Sequence[PublishedFile]) -> list[str]:
    """The commands that make these files again, and the versions of the pack that did."""
    versions = ", ".join(dict.fromkeys(file.version for file in files))
    formats = dict.fromkeys(file.format_name for file in files if file.format_name) or [None]
    convert = [f"python -m glm_core convert GLM-Image --publish published{f' --quantise {name}' if name else ''}"
               for name in formats]
    return ["", "## How they were made", "", f"With GLM-Image Native {versions}, in the folder of that pack:", "",
            "```sh", f"hf download {REPOSITORY} --local-dir GLM-Image", *convert, "```", "",
            "Tensors keep their released names. In files whose format is not \"as released\", the large matrices of "
            "the planner or the diffusion model are quantised; everything else, including the vision tower, is "
            "unchanged. Config and tokenizer are inside the files.", *restored_note(files)]


def restored_note(files: Sequence[PublishedFile]) -> list[str]:
    tools = dict.fromkeys(file.tool for file in files if file.tool)
    return ["", f"Files restored from weights that {' or '.join(tools)} had quantised were not made from "
            f"{REPOSITORY} itself, but from a folder in that format: give it instead of `GLM-Image`."] if tools else []


TITLE = f"""
# GLM-Image for ComfyUI

The weights of [{REPOSITORY}](https://huggingface.co/{REPOSITORY}), one file per part, for the node pack GLM-Image \
Native."""
USE = """
## Where they go

Put the files into the folders of the same names in `ComfyUI/models` (`diffusion_models`, `text_encoders`, `vae`). One \
file of each part is enough: planner, glyph encoder, diffusion model and VAE. The nodes *Load GLM-Image Planner*, \
*Load GLM-Image Glyph Encoder*, *Load GLM-Image Diffusion Model* and *Load GLM-Image VAE* of GLM-Image Native load \
them."""
LICENCE = """
## Licence

GLM-Image is under the MIT licence (`LICENSE`). The planner's file contains weights that GLM-Image takes from X-Omni \
(vision tower and codebook), which are under the Apache licence 2.0 (`LICENSE-X-OMNI`).
"""
