"""Malformed files of every kind: each is read, or refused with one line, in bounded time and memory."""

import base64
import copy
import io
import json
import os
import resource
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, VISION, Part, read_part
from glm_core.errors import GLMImageError
from glm_core.evaluation.suites import posters
from glm_core.images import read_image
from glm_core.pipeline.parts import build
from glm_core.planner import PromptTokenizer
from glm_core.plans import Drawn, Plan, load_plan, save_plan_image
from tests.support.compute import CPU
from tests.support.tiny import small_checkpoint

MOST_SECONDS = 5
MOST_KILOBYTES = 500 * 1024
EXAMPLES = 20  # of each kind, and ten times as many in the long run
PARTS = {"planner": PLANNER, "vision": VISION, "diffusion": DIFFUSION, "glyph": GLYPH, "vae": VAE}
ODD_VALUES = [None, True, [], {}, [[]], {"a": None}, "", "x", "\0", "\ud800", "../x", "/etc/passwd", "a/b", -1, 0, 1, 3,
              10**9, -(10**9), 10**30, 10**400, 0.5, -0.5, 1e308, float("nan"), float("inf"), [0] * 1000, [1, 2, 3],
              ["a"], [10**9] * 4, "9" * 5000]
ODD_TEXTS = [b"", b"\xff\xfe", b"\0", b"{", b"[]", b"null", b'"x"', b"1" * 5000, b"[" * 100_000, b'{"a":' * 50_000,
             b"{}", b'{"a": 1} trailing']
JSONL_LINE = {"prompt": "a", "texts": ["b"], "images": ["c.png"],
              "shapes": [{"kind": "circle", "colour": "red", "zone": ["top", "left"]}]}

odd_values = st.one_of(st.sampled_from(ODD_VALUES), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=5))


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple, new: Any) -> Any:
    result = copy.deepcopy(value)
    inside = result
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    return result


@st.composite
def spoiled_json(draw, value: Any) -> bytes:
    """A JSON document in which one or two values are others, or other bytes altogether."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(ODD_TEXTS) | spoiled_bytes(json.dumps(value).encode()))
    for _ in range(draw(st.integers(1, 2))):
        value = changed(value, draw(st.sampled_from(list(places(value)))), draw(odd_values))
    return json.dumps(value).encode()


@st.composite
def spoiled_bytes(draw, data: bytes) -> bytes:
    """Truncated, with bytes behind, or with one byte changed, most often in the first 400."""
    way = draw(st.sampled_from(["cut", "more", "flip"]))
    position = draw(st.integers(0, min(400, len(data) - 1)) | st.integers(0, len(data) - 1))
    if way == "cut":
        return data[:position]
    if way == "more":
        return data + draw(st.binary(min_size=1, max_size=20))
    return data[:position] + bytes([draw(st.integers(0, 255))]) + data[position + 1:]


def spoiled_header(data: bytes) -> st.SearchStrategy[bytes]:
    """A safetensors file whose header is another JSON document of its own length."""
    length = int.from_bytes(data[:8], "little")
    header, tensors = json.loads(data[8:8 + length]), data[8 + length:]
    return spoiled_json(header).map(lambda new: len(new).to_bytes(8, "little") + new + tensors)


class Model:
    """A small released folder, one file of which is spoiled at a time."""

    def __init__(self, folder: Path):
        self.folder = small_checkpoint(folder)

    def read(self, part: Part, file: Path, data: bytes) -> None:
        """Build a part while ``file`` has other bytes."""
        original = file.read_bytes()
        file.write_bytes(data)
        try:
            build(part, read_part(self.folder / part.folder, part), CPU)
        finally:
            file.write_bytes(original)

    def json_of(self, path: str) -> Any:
        return json.loads((self.folder / path).read_text())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model(tmp_path_factory.mktemp("model"))


def configs(model: Model, folder: Path):
    """config.json of each part."""
    def of_part(name: str):
        part = PARTS[name]
        file = model.folder / part.folder / "config.json"
        return spoiled_json(json.loads(file.read_text())).map(lambda data: (part, file, data))

    return st.sampled_from(list(PARTS)).flatmap(of_part), lambda case: model.read(*case)


def shard_indexes(model: Model, folder: Path):
    file = next((model.folder / DIFFUSION.folder).glob("*.index.json"))
    return spoiled_json(json.loads(file.read_text())), lambda data: model.read(DIFFUSION, file, data)


def single_files(model: Model, folder: Path):
    """Headers and bytes of a file with its config in the metadata."""
    part = GLYPH
    tensors = load_file(model.folder / part.folder / "model.safetensors")
    data = save(tensors, {"config": json.dumps(model.json_of(f"{part.folder}/config.json"))})

    def read(data: bytes) -> None:
        (folder / "part.safetensors").write_bytes(data)
        build(part, read_part(folder / "part.safetensors", part), CPU)

    return st.one_of(spoiled_header(data), spoiled_bytes(data)), read


def marks(model: Model, folder: Path):
    """Marks of quantised layers, as tensors and in the metadata."""
    weights = read_part(model.folder / DIFFUSION.folder, DIFFUSION)
    layer = "transformer_blocks.0.attn1.to_q"
    weight = weights.tensors[f"{layer}.weight"]
    mark = {"format": "float8_e4m3fn", "full_precision_matrix_mult": True, "params": {"convrot": False}}
    quantised = weights.tensors | {f"{layer}.weight": weight.to(torch.float8_e4m3fn),
                                   f"{layer}.weight_scale": torch.tensor(1.0)}
    config = json.dumps(weights.config)

    def read(case: tuple[bool, bytes]) -> None:
        in_metadata, data = case
        metadata, tensors = {"config": config}, dict(quantised)
        if in_metadata:
            metadata["_quantization_metadata"] = data.decode("utf-8", "replace")
        else:
            tensors[f"{layer}.comfy_quant"] = torch.tensor(list(data), dtype=torch.uint8)
        (folder / "part.safetensors").write_bytes(save(tensors, metadata))
        build(DIFFUSION, read_part(folder / "part.safetensors", DIFFUSION), CPU)

    in_metadata = spoiled_json({"format_version": "1.0", "layers": {layer: mark}})
    return st.tuples(st.just(False), spoiled_json(mark)) | st.tuples(st.just(True), in_metadata), read


def tokenizers(model: Model, folder: Path):
    data = model.json_of("processor/tokenizer.json")
    small = {**data, "added_tokens": data["added_tokens"][-4:]}

    def read(data: bytes) -> None:
        tokenizer = PromptTokenizer(data.decode("utf-8", "replace"))
        tokenizer.check_vocabulary(1000, "tokenizer")
        tokenizer.encode_prompt("a sign that says OPEN", [(2, 3)], 5)

    return spoiled_json(small), read


def plan_files(model: Model, folder: Path):
    path = folder / "plan.safetensors"
    plan = Plan(torch.zeros(2, 2, 3, dtype=torch.int64), torch.zeros(2, 4, 4, dtype=torch.int64),
                (Drawn("a", 1, (96, 64), {"temperature": 0.9}),) * 2, torch.zeros(2, 22))
    plan.save(path)
    data = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        Plan.load(path)

    origins = json.loads(json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]["origins"])

    def with_origins(text: bytes) -> bytes:
        return save({"ids": plan.ids}, {"origins": text.decode("utf-8", "replace")})

    return st.one_of(spoiled_header(data), spoiled_bytes(data), spoiled_json(origins).map(with_origins)), read


def plan_pictures(model: Model, folder: Path):
    """Bytes of the picture, and of the plan in its text chunk."""
    path = folder / "plan.png"
    plan = Plan(torch.zeros(1, 2, 3, dtype=torch.int64), torch.zeros(1, 4, 4, dtype=torch.int64),
                (Drawn("a", 1, (96, 64)),), torch.zeros(1, 22))
    save_plan_image(plan, path)
    picture, carried = path.read_bytes(), plan.to_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_plan(path)

    def with_text(text: bytes) -> bytes:
        return b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"glm_image_plan\0" + text) + chunk(b"IEND", b"")

    spoiled = spoiled_header(carried) | spoiled_bytes(carried)
    texts = spoiled.map(base64.b64encode) | spoiled_bytes(base64.b64encode(carried))
    return spoiled_bytes(picture) | texts.map(with_text), read


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and has few pixels."""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b""))


def picture_headers(model: Model, folder: Path):
    pictures = []
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, kind)
        pictures.append(buffer.getvalue())
    sides = st.sampled_from([0, 1, 8000, 65535, 2**31 - 1])

    def read(data: bytes) -> None:
        (folder / "picture").write_bytes(data)
        read_image(folder / "picture")

    return st.sampled_from(pictures).flatmap(spoiled_bytes) | st.builds(png_of, sides, sides), read


def jsonl(model: Model, folder: Path):
    def read(data: bytes) -> None:
        (folder / "prompts.jsonl").write_bytes(data)
        posters.tasks(folder / "prompts.jsonl")

    return spoiled_json(JSONL_LINE), read


KINDS = [configs, shard_indexes, single_files, marks, tokenizers, plan_files, plan_pictures, picture_headers, jsonl]


def check(read: Callable[[Any], None], case: Any) -> None:
    """The case is read, or refused in one line, within MOST_SECONDS and MOST_KILOBYTES."""
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        read(case)
    except GLMImageError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 2000, error
    assert time.process_time() - start < MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MOST_KILOBYTES


def check_kind(kind: Callable, examples: int, model: Model, folder: Path) -> None:
    cases, read = kind(model, folder)

    @settings(max_examples=examples, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))
    @given(cases)
    def run(case):
        check(read, case)

    run()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_some_malformed_inputs_end_in_one_line(kind, model, tmp_path):
    check_kind(kind, EXAMPLES, model, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_many_malformed_inputs_end_in_one_line(kind, model, tmp_path):
    check_kind(kind, 10 * EXAMPLES, model, tmp_path)


@pytest.mark.parametrize("name, found", [
    ("../x.safetensors", "'../x.safetensors'"), ("/etc/passwd", "'/etc/passwd'"), ("a\0b", r"'a\\x00b'"), ("", "''"),
    ("..", r"'\.\.'"), ("C:\\x", r"'C:\\\\x'"), (3, "3"), (None, "None")])
def test_shards_are_bare_file_names(model, name, found):
    file = next((model.folder / DIFFUSION.folder).glob("*.index.json"))
    index = json.loads(file.read_text())
    first = next(iter(index["weight_map"]))
    with pytest.raises(GLMImageError, match=rf"a shard must be the name of a file beside the index \(got {found}\)"):
        model.read(DIFFUSION, file, json.dumps(changed(index, ("weight_map", first), name)).encode())


@pytest.mark.parametrize("read", [
    lambda path: read_part(path, VAE), Plan.load, load_plan, read_image, posters.tasks],
    ids=["part", "plan", "plan picture", "image", "jsonl"])
def test_pipes_are_refused_without_waiting(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GLMImageError, match="pipe.*a device, pipe or socket"):
        read(tmp_path / "pipe")


def test_a_pipe_for_a_shard_is_refused(model):
    shard = next((model.folder / GLYPH.folder).glob("*.safetensors"))
    moved = shard.rename(shard.with_suffix(".moved"))
    os.mkfifo(shard)
    try:
        with pytest.raises(GLMImageError, match=r"must be a file \(got a device, pipe or socket\)"):
            read_part(model.folder / GLYPH.folder, GLYPH)
    finally:
        shard.unlink()
        moved.rename(shard)


@pytest.mark.parametrize("change, expected", [
    (lambda data: data[:-3], r"not a complete safetensors file \(3 bytes are missing at its end\); download it again"),
    (lambda data: data[:40], r"not a complete safetensors file \(it ends in its header, after 40 bytes\)"),
    (lambda data: b"", r"not a complete safetensors file \(it ends in its header, after 0 bytes\)"),
    (lambda data: data + b"abc", r"must end with its last tensor \(got 3 bytes more\)"),
    (lambda data: b"\xff" * 8 + data, "not a safetensors file"),
])
def test_truncated_files_and_trailing_bytes_get_words_of_their_own(model, change, expected):
    file = model.folder / VAE.folder / "diffusion_pytorch_model.safetensors"
    with pytest.raises(GLMImageError, match=f"VAE .*{expected}"):
        model.read(VAE, file, change(file.read_bytes()))


@pytest.mark.parametrize("name, path", [
    ("diffusion", ("num_layers",)), ("planner", ("text_config", "num_hidden_layers")), ("vae", ("layers_per_block",)),
    ("vision", ("vision_config", "depth")), ("glyph", ("num_layers",))])
def test_absurd_numbers_of_layers_are_refused_before_they_are_made(model, name, path):
    part = PARTS[name]
    file = model.folder / part.folder / "config.json"
    data = json.dumps(changed(json.loads(file.read_text()), path, 10**9)).encode()
    expected = rf"its config must have {'.'.join(path)} = \d+, as the tensors do \(got 1000000000\)"
    with pytest.raises(GLMImageError, match=expected):
        model.read(part, file, data)
