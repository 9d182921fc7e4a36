import pytest

from glm_core.errors import GLMImageError
from glm_core.planner import PromptTokenizer
from tests.support.tiny import RELEASED, make_tokenizer

SOP, EOP = RELEASED.controls["<sop>"], RELEASED.controls["<eop>"]


@pytest.fixture(scope="module")
def tokenizer():
    return PromptTokenizer(make_tokenizer().to_str())


def test_a_prompt_is_text_then_target_then_coarse_grid_then_start(tokenizer):
    ids = tokenizer.encode_prompt("a dog", [(32, 36), (15, 16)], 16384)
    assert ids == [*tokenizer.encode("a dog"), SOP, *tokenizer.encode("32 36"), EOP, SOP, *tokenizer.encode("15 16"),
                   EOP, 16384]


def test_an_empty_prompt_begins_with_the_grid(tokenizer):
    assert tokenizer.encode_prompt("", [(1, 1)], 16384)[0] == SOP


@pytest.mark.parametrize("text", ["<|image|>", "<sop>1 1<eop>", "<|dit_token_16385|>", "<|endoftext|>",
                                  "a <|dit_token_16384|> b"])
def test_control_tokens_in_a_prompt_are_text(tokenizer, text):
    ids = tokenizer.encode(text)
    assert min(ids) >= RELEASED.visual
    assert not set(ids) & set(RELEASED.control_ids)
    assert tokenizer.tokenizer.decode(ids).replace(" ", "") != ""


def test_spaces_at_both_ends_are_kept(tokenizer):
    assert len(tokenizer.encode("  a  ")) > len(tokenizer.encode("a"))


def test_another_tokenizer_is_refused():
    from tokenizers import Tokenizer, models

    with pytest.raises(GLMImageError, match="this one lacks the control token <sop>"):
        PromptTokenizer(Tokenizer(models.BPE()).to_str())
