"""Where menus list the nodes, and which words find them, in a real ComfyUI."""

import json

import pytest

from tests.support.hosts import PACK, host_version

ROLES = ["loaders", "plan", "conditioning", "sampling", "text"]
CORE_CATEGORIES = {"loaders", "conditioning", "sampling", "text"}  # the page translates these itself
SEARCHES = {  # words that people type
    "t2i": "GLMImagePlan", "semantic tokens": "GLMImageTokenize", "layout": "GLMImageDraftPlan",
    "ocr": "GLMImageReadText", "variation": "GLMImageTokenize", "outpaint": "GLMImagePadPlan",
    "best of n": "GLMImageBestPlans", "文生图": "GLMImagePlan", "局部重绘": "GLMImageReplan",
    "文字识别": "GLMImageReadText",
}
ALIASES_SINCE = 0, 11


@pytest.fixture(scope="module")
def pack_info(server) -> dict:
    nodes = server.get("/object_info")
    return {name: info for name, info in nodes.items() if info["python_module"].endswith("glm-image-native")}


def test_nodes_are_listed_by_role(pack_info):
    categories = list(dict.fromkeys(info["category"] for info in pack_info.values()))
    assert categories == [f"GLM-Image/{role}" for role in ROLES]


def test_roles_have_chinese_names():
    translated = json.loads((PACK / "locales" / "zh" / "main.json").read_text(encoding="utf-8"))["nodeCategories"]
    assert set(translated) == set(ROLES) - CORE_CATEGORIES


def test_words_that_people_type_find_nodes(server, pack_info):
    """ComfyUI 0.8 knows no aliases; there the nodes register without."""
    major, minor, *_ = map(int, host_version(server.host).split("."))
    aliases = {name: info.get("search_aliases") or [] for name, info in pack_info.items()}
    if (major, minor) < ALIASES_SINCE:
        assert not any(aliases.values())
        return
    assert all(len(set(words)) == len(words) >= 3 for words in aliases.values())
    assert {word: node for word, node in SEARCHES.items() if word in aliases[node]} == SEARCHES
