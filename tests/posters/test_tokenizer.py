from glm_core.planner import PromptTokenizer
from glm_core.posters import VISUAL_IDS, make_tokenizer


def test_quoted_words_are_spelled_and_common_words_are_one_token():
    tokenizer = PromptTokenizer(make_tokenizer().to_str())
    assert len(tokenizer.encode('"QXK"')) == 5
    assert len(tokenizer.encode(" triangle")) == 1
    assert len(tokenizer.encode("春风")) == 2
    assert min(tokenizer.encode("At the top, anything at all: é, 世界, <sop>")) >= VISUAL_IDS
