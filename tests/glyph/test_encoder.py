import pytest
import torch
from transformers import ByT5Tokenizer
from transformers.models.t5.modeling_t5 import T5Attention

from glm_core.glyph import GlyphConfig, GlyphEncoder, encode_texts, glyph_tokens
from glm_core.glyph.encoder import position_buckets
from glm_core.glyph.tokens import MAX_IDS, byt5_ids
from tests.support.tiny import Tiny, random_module


@pytest.fixture(scope="module")
def encoder():
    return random_module(GlyphEncoder, GlyphConfig.from_json(Tiny().glyph(), "tiny"))


@pytest.mark.parametrize("text", ["", "OPEN", "Aé", "世界", "a\nb", "🍵"])
def test_ids_are_byt5s(text):
    assert byt5_ids(text) == ByT5Tokenizer()(text).input_ids


def test_control_texts_are_spelled_out():
    assert byt5_ids("</s>") == [63, 50, 118, 65, 1]


def test_long_texts_are_cut_to_2048_ids():
    assert len(byt5_ids("x" * 5000)) == MAX_IDS and byt5_ids("x" * 5000)[-1] == 1


@pytest.mark.parametrize("texts, expected", [(["OPEN", "NO"], [[0, 82, 83, 72, 81, 1], [0, 81, 82, 1]]),
                                             (["OPEN"], [[82, 83, 72, 81, 1]]), ([""], [[1]])])
def test_an_even_number_of_texts_gets_leading_padding(texts, expected):
    assert glyph_tokens(texts) == expected


@pytest.mark.parametrize("length", [1, 7, 300])
def test_position_buckets_are_t5s(length):
    offset = torch.arange(length)[None, :] - torch.arange(length)[:, None]
    expected = T5Attention._relative_position_bucket(offset, bidirectional=True, num_buckets=32, max_distance=128)
    assert torch.equal(position_buckets(length, 32), expected)


def test_texts_do_not_disturb_each_other(encoder):
    beside_long = encode_texts(encoder, [byt5_ids("OPEN"), byt5_ids("x" * 200)], "cpu")
    beside_short = encode_texts(encoder, [byt5_ids("OPEN"), byt5_ids("y")], "cpu")
    assert torch.equal(beside_long[:, :5], beside_short[:, :5])
    assert beside_long.shape[1] == 5 + 201
