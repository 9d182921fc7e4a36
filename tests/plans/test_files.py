"""Plan files of both kinds: what is saved is loaded, and what is no plan is refused in one line."""

import base64
import struct
import zlib
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save

from glm_core.errors import GLMImageError
from glm_core.images import read_image
from glm_core.plans import DROPPED, Draft, Drawn, Edited, Plan, Read, load_plan, save_plan_image, select
from glm_core.plans.files import KEYWORD, MOST_TEXT
from glm_core.plans.png import MOST_CHUNKS, SIGNATURE

EXAMPLES = 200
DRAWN = Drawn('a "sign"', 7, (96, 64), {"temperature": 0.9}, "0123456789ab")
PLAN = Plan(torch.arange(6).view(1, 2, 3), torch.arange(4).view(1, 2, 2), (DRAWN,), -torch.rand(1, 10))

sides = st.integers(1, 6)
texts = st.text(max_size=8)
sizes = st.sampled_from([(1, 1), (96, 64), (4096, 4096), (5000, 3)])
sampling = st.sampled_from([{}, {"temperature": 0.9, "top_k": 16384}, {"temperature": 1 / 3}])
written = st.builds(lambda kind, *values: kind(*values), st.sampled_from([Drawn, Draft]), texts,
                    st.integers(0, 2**64 - 1), sizes, sampling, texts)
unedited = written | st.builds(Read, sizes)
origins = unedited | st.builds(Edited, texts, st.tuples(unedited) | st.tuples(unedited, unedited) | st.just(()))


@st.composite
def plans(draw, batch: st.SearchStrategy[int]) -> Plan:
    """Any plan: with holes, with or without coarse grid, origins and log-probabilities."""
    items, rows, columns = draw(batch), draw(sides), draw(sides)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    largest = draw(st.sampled_from([1, 64, 16384, 2**31 - 1]))
    ids = torch.randint(DROPPED, largest, (items, rows, columns), generator=generator)
    coarse = torch.randint(0, largest, (items, draw(sides), draw(sides)), generator=generator)
    plan = Plan(ids, coarse if draw(st.booleans()) else None, tuple(draw(st.lists(origins, min_size=items,
                                                                                  max_size=items))))
    if not draw(st.booleans()):
        return plan
    log_probs = torch.randn(items, plan.tokens, generator=generator).exp().neg()
    log_probs[0, 0] = draw(st.sampled_from([0.0, -float("inf"), -1e-30, -104.0]))
    return replace(plan, log_probs=log_probs)


def check_equal(plan: Plan, other: Plan) -> None:
    assert plan.origins == other.origins
    for name in ("ids", "coarse", "log_probs"):
        before, after = getattr(plan, name), getattr(other, name)
        assert (before is None) == (after is None)
        assert before is None or (before.dtype == after.dtype and torch.equal(before, after))


@settings(max_examples=EXAMPLES, deadline=None)
@given(plan=plans(st.integers(1, 3)))
def test_a_safetensors_file_gives_back_the_plan(plan, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "plan.safetensors"
    plan.save(path)
    check_equal(plan, load_plan(path))
    check_equal(plan, Plan.load(path))
    assert plan.to_bytes() == path.read_bytes()


@settings(max_examples=EXAMPLES, deadline=None)
@given(plan=plans(st.just(1)))
def test_a_picture_gives_back_the_plan(plan, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "plan.png"
    save_plan_image(plan, path)
    check_equal(plan, load_plan(path))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.png"


@pytest.fixture
def saved(path):
    """The file of PLAN, as bytes."""
    save_plan_image(PLAN, path)
    return path.read_bytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return SIGNATURE + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")


def carrying(data: bytes) -> bytes:
    """A PNG whose chunk holds these bytes in base64."""
    return png(chunk(b"tEXt", KEYWORD.encode() + b"\0" + base64.b64encode(data)))


def check_refused(path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(GLMImageError, match=message) as refused:
        load_plan(path)
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 400
    assert str(path) in str(refused.value) or str(refused.value).startswith("plan: ")


def test_a_picture_shows_the_plan_and_other_texts_stay_beside_it(path):
    save_plan_image(PLAN, path, torch.rand(8, 3), {"workflow": '{"nodes": []}', "prompt": "{}"})
    with Image.open(path) as picture:
        assert picture.text.keys() == {"workflow", "prompt", KEYWORD} and picture.text["workflow"] == '{"nodes": []}'
        assert picture.width > 500 and picture.height > 200
    assert len(read_image(path).flatten(0, 2).unique(dim=0)) > 10


def test_the_name_of_a_file_does_not_matter(tmp_path):
    save_plan_image(PLAN, tmp_path / "picture.safetensors")
    PLAN.save(tmp_path / "tensors.png")
    for name in ("picture.safetensors", "tensors.png"):
        check_equal(PLAN, load_plan(tmp_path / name))


def test_the_largest_plan_fits_into_a_picture(path):
    plan = Plan(torch.randint(0, 16384, (1, 128, 128)), torch.randint(0, 16384, (1, 16, 16)),
                (replace(DRAWN, prompt="字" * 4000),), -torch.rand(1, 16640))
    save_plan_image(plan, path)
    check_equal(plan, load_plan(path))
    assert path.stat().st_size < MOST_TEXT


def test_only_single_plans_are_saved_as_pictures(path):
    two = Plan(torch.zeros(2, 2, 3, dtype=torch.int64))
    with pytest.raises(GLMImageError, match=r"one item to be saved as a picture \(got 2\)"):
        save_plan_image(two, path)
    save_plan_image(select(two, 1), path)


def test_a_prompt_of_megabytes_is_refused_in_a_picture(path):
    with pytest.raises(GLMImageError, match="at most 8388608 bytes in base64 .*save it as safetensors"):
        save_plan_image(replace(PLAN, origins=(replace(DRAWN, prompt="a" * MOST_TEXT),)), path)


def test_a_picture_that_is_cut_is_refused_wherever_it_ends(path, saved):
    for length in {*range(0, 120), *range(0, len(saved), 37), *range(len(saved) - 60, len(saved))}:
        check_refused(path, saved[:length], "not a complete (PNG|safetensors) file")


def test_a_byte_of_the_plan_that_was_changed_is_found(path, saved):
    start, end = saved.index(KEYWORD.encode()) + len(KEYWORD) + 1, saved.index(b"IDAT") - 8
    for place in {*range(start, end, 7), *range(end - 8, end)}:
        other = bytes([saved[place] ^ 1])
        check_refused(path, saved[:place] + other + saved[place + 1 :], "its plan is damaged")


def test_another_picture_says_what_drops_plans(path):
    Image.new("RGB", (64, 64)).save(path)
    check_refused(path, path.read_bytes(), "this PNG carries no plan; mask editors and other programs")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_picture_that_a_mask_editor_wrote_anew_is_refused(path, saved, mode):
    Image.open(path).convert(mode).save(path)
    check_refused(path, path.read_bytes(), "mask editors and other programs write images anew and drop it: load the ")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_other_kinds_of_images_are_named(path, saved, kind):
    Image.open(path).convert("RGB").save(path, kind)
    check_refused(path, path.read_bytes(), rf"\(got a {kind}".replace("WEBP", "WebP") + " image")


def test_a_program_that_keeps_texts_keeps_the_plan(path, saved):
    picture: Image.Image = Image.open(path)
    info = PngInfo()
    for keyword, text in picture.text.items():
        info.add_text(keyword, text)
    picture.resize((50, 50)).save(path, pnginfo=info)
    check_equal(PLAN, load_plan(path))


@pytest.mark.parametrize("kind, data", [
    (b"zTXt", b"\0\0" + zlib.compress(bytes(2**26))), (b"iTXt", b"\0\1\0\0\0" + zlib.compress(bytes(2**26))),
    (b"iTXt", b"\0\0\0\0\0abc"),
])
def test_compressed_plans_are_refused_without_reading_them(path, kind, data):
    name = kind.decode()
    check_refused(path, png(chunk(kind, KEYWORD.encode() + data)), rf"must be in a plain text chunk, tEXt \(got {name}")


def test_bombs_in_other_chunks_are_passed_over(path, saved):
    bomb = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(2**26)))
    text = chunk(b"tEXt", KEYWORD.encode() + b"\0" + base64.b64encode(PLAN.to_bytes()))
    path.write_bytes(png(bomb, text, bomb))
    check_equal(PLAN, load_plan(path))


def test_a_text_that_is_too_long_is_refused_before_it_is_read(path):
    check_refused(path, carrying(bytes(MOST_TEXT)), "must have at most 8388608 bytes of text")
    claimed = SIGNATURE + struct.pack(">I", 2**31 - 1) + b"tEXt" + KEYWORD.encode() + b"\0abc"
    check_refused(path, claimed, "not a complete PNG file")


def test_endless_chunks_are_refused(path):
    check_refused(path, png(*[chunk(b"tEXt", b"a\0")] * MOST_CHUNKS), f"must have at most {MOST_CHUNKS} chunks")


def test_two_plans_in_one_picture_are_refused(path):
    text = chunk(b"tEXt", KEYWORD.encode() + b"\0" + base64.b64encode(PLAN.to_bytes()))
    check_refused(path, png(text, text), "must carry one plan .got several.")


@pytest.mark.parametrize("text", [b"???", b"AAA", "é".encode("latin-1"), b"AAAA AAAA"])
def test_a_text_that_is_not_base64_is_refused(path, text):
    check_refused(path, png(chunk(b"tEXt", KEYWORD.encode() + b"\0" + text)), "its plan must be text in base64")


def header_of(**tensors) -> bytes:
    """A safetensors file without data whose header claims these tensors."""
    text = str({name: dict(zip(("dtype", "shape", "data_offsets"), values)) for name, values in tensors.items()})
    data = text.replace("'", '"').encode()
    return struct.pack("<Q", len(data)) + data


@pytest.mark.parametrize("data", [
    header_of(ids=("I64", [1, 2**31, 2**31], [0, 2**65])), header_of(ids=("I64", [1, 2**31, 2**31], [0, 0])),
    header_of(ids=("I64", [2**62], [0, 2**62])), header_of(ids=("I64", [2**62, 0, 1], [0, 0])),
    header_of(ids=("I64", [1, 1, 2**61], [0, 0])), struct.pack("<Q", 2**62),
])
def test_2_to_the_62_ids_are_refused(path, data):
    check_refused(path, data, "safetensors file|must be int64")
    check_refused(path, carrying(data), "safetensors file|must be int64")


@pytest.mark.parametrize("tensors, message", [
    ({"ids": torch.full((1, 2, 3), 2**62)}, f"ids must be from 0 to 2147483647, or -1 for no token .got {2**62}"),
    ({"ids": torch.full((1, 2, 3), -2)}, r"ids must be .*\(got -2 to -2\)"),
    ({"ids": PLAN.ids, "preview": torch.full((1, 1, 1), -(2**62))}, "preview must be from 0"),
    ({"ids": torch.zeros(1, 1, 129, dtype=torch.int64)}, r"width must be .*\(got 4128\)"),
    ({"ids": PLAN.ids, "preview": torch.zeros(1, 65, 64, dtype=torch.int64)}, "preview grid must have at most 4096"),
    ({"ids": PLAN.ids, "log_probs": torch.full((1, 6), float("nan"))}, r"log_probs must be at most 0 \(got up to nan"),
    ({"ids": PLAN.ids, "log_probs": torch.ones(1, 6)}, r"log_probs must be at most 0 \(got up to 1.0\)"),
    ({"x": torch.zeros(3)}, "must contain 'ids'"),
])
def test_impossible_numbers_are_refused(path, tensors, message):
    for data in (save(tensors), carrying(save(tensors))):
        path.write_bytes(data)
        with pytest.raises(GLMImageError, match=message):
            load_plan(path)


def test_what_is_no_file_is_refused(tmp_path):
    for path, found in ((tmp_path, "a folder"), (tmp_path / "nowhere.png", "no such file")):
        with pytest.raises(GLMImageError, match=rf"must be a file \(got {found}\)"):
            load_plan(path)
