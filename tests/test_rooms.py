"""Imports run one way, and what may not be in the pack is not in it."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [ROOT / "__init__.py", *sorted((ROOT / "nodes").rglob("*.py")), *sorted((ROOT / "glm_core").rglob("*.py"))]
COMFY = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "node_helpers", "nodes", "execution", "server"}
ALLOWED = {"torch", "safetensors", "tokenizers", "transformers", "numpy", "PIL", "tqdm", "einops"}
OPTIONAL = {  # package → the files that may import it
    "rapidocr": {"glm_core/evaluation/ocr.py"},
    "matplotlib": {"glm_core/training/loop.py", "glm_core/training/posters.py"},
}
MIDDLE = {"planner", "vision", "glyph", "decoder", "checkpoint"}
COMMON = {"errors", "images", "ops", "plan"}
MAY_IMPORT = {  # room → rooms of glm_core that it may import
    **{room: COMMON | {room} for room in MIDDLE},
    **{name: {"errors"} for name in ("plan", "errors", "ops")},
    "images": {"errors", "plan"},
    "host": COMMON | MIDDLE | {"host"},
    "pipeline": COMMON | MIDDLE,
    "training": COMMON | MIDDLE | {"training"},
    "evaluation": COMMON | MIDDLE | {"evaluation", "pipeline", "training"},
    "__main__": COMMON | MIDDLE | {"evaluation", "pipeline", "training"},
}


def imports(path: Path) -> list[tuple[int, str]]:
    """(level, module) of every import; ``from . import x`` counts as x."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.level, node.module)] if node.module else [(node.level, alias.name) for alias in node.names]
    return found


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "glm_core").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_absolute_imports_are_the_allowed_packages(path):
    in_host = path.is_relative_to(ROOT / "nodes") or path.is_relative_to(ROOT / "glm_core" / "host")
    for level, module in imports(path):
        top = module.split(".")[0]
        if level == 0 and top not in sys.stdlib_module_names:
            optional = path.relative_to(ROOT).as_posix() in OPTIONAL.get(top, ())
            assert top in ALLOWED or (in_host and top in COMFY) or optional, f"{path}: {module}"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "glm_core") and p.name != "__init__.py"],
                         ids=lambda path: path.relative_to(ROOT).as_posix())
def test_rooms_import_one_way(path):
    inside = path.relative_to(ROOT / "glm_core").parts[:-1]
    for level, module in imports(path):
        if level:
            target = [*inside[: len(inside) - level + 1], *module.split(".")][0]
            assert target in MAY_IMPORT[room_of(path)], f"{path}: {'.' * level}{module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_pickle_eval_or_network(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not calls & {"eval", "exec", "torch.load", "pickle.load", "pickle.loads"}
    assert not {module.split(".")[0] for _, module in imports(path)} & {"pickle", "urllib", "requests", "http", "socket", "subprocess"}


def test_core_runs_without_a_host():
    """glm_core is imported by these very tests, with no comfy anywhere."""
    import glm_core.__main__  # noqa: F401

    assert not any(name == "comfy" or name.startswith("comfy.") for name in sys.modules)
