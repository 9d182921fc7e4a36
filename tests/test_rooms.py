"""Imports run one way, and what may not be in the pack is not in it. docs/architecture.md draws the ways."""

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "glm_core"
SOURCES = [*sorted(ROOT.glob("__*__.py")), *sorted((ROOT / "nodes").rglob("*.py")), *sorted(CORE.rglob("*.py"))]
COMFY = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "node_helpers", "nodes", "execution",
         "server"}
ALLOWED = {"torch", "safetensors", "tokenizers", "transformers", "numpy", "PIL", "tqdm", "einops"}
OPTIONAL = {  # package → the files that may import it
    "rapidocr": {"glm_core/ocr/reader.py"},
    "comfy_kitchen": {"glm_core/checkpoint/formats/library.py"},
    "ray": {"glm_core/pipeline/cluster.py"},
    "matplotlib": {"glm_core/training/loop.py", "glm_core/posters/draw.py"},
}
NETWORK = {  # file → modules of the standard library for the network; only the command line reaches these files
    "glm_core/services/http_json.py": {"urllib", "http"}, "glm_core/services/judge.py": {"urllib"},
}
COMMON = {"errors", "config", "files", "fonts", "geometry", "images", "ops", "plans"}
MIDDLE = {"planner", "vision", "glyph", "decoder", "checkpoint"}
MAY_IMPORT = {  # room → rooms of glm_core that it may import beside itself
    "errors": set(), "ops": set(), "fonts": set(), "files": {"errors"},
    "config": {"errors", "files"}, "geometry": {"errors"}, "images": {"errors", "files"},
    "plans": {"errors", "config", "files", "fonts", "geometry", "images"},
    "ocr": {"errors"},
    "services": {"errors", "files"},
    "posters": {"geometry"},
    **dict.fromkeys(MIDDLE, COMMON),
    "host": COMMON | MIDDLE | {"ocr"},
    "pipeline": COMMON | MIDDLE,
    "evaluation": COMMON | MIDDLE | {"ocr", "pipeline"},
    "evaluation/suites": COMMON | MIDDLE | {"ocr", "pipeline", "evaluation", "posters"},
    "benchmark": COMMON | MIDDLE | {"ocr", "pipeline", "evaluation", "services"},
    "training": COMMON | MIDDLE | {"ocr", "pipeline", "evaluation", "evaluation/suites", "posters"},
    "rl": COMMON | MIDDLE | {"ocr", "services", "pipeline", "evaluation", "evaluation/suites", "posters", "training"},
    "cli": COMMON | MIDDLE | {"ocr", "pipeline", "evaluation", "evaluation/suites", "posters", "training", "rl",
                              "benchmark"},
    "__main__": {"cli"},
    "nodes": COMMON | MIDDLE | {"host", "ocr"},
    "": {"nodes"},
}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> list[tuple[int, str]]:
    """(level, module) of every import; ``from . import x`` counts as x, ``from ..glm_core import x`` as glm_core.x."""
    found = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if node.module in (None, "glm_core"):  # what they hold are rooms
                found += [(node.level, ".".join(filter(None, (node.module, name)))) for name in names]
            else:
                found.append((node.level, node.module))
    return found


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a module, by its path below the pack's root; the root's and glm_core's own files are ""."""
    below = parts[1:] if parts[0] == "glm_core" else parts
    if below[:2] == ("evaluation", "suites"):
        return "evaluation/suites"
    return "" if below in ((), ("__init__",)) else below[0]


def relative_imports(path: Path) -> list[tuple[str, ...]]:
    """Path below the pack's root of every module that ``path`` imports relatively."""
    inside = path.relative_to(ROOT).parts[:-1]
    return [(*inside[: len(inside) - level + 1], *module.split(".")) for level, module in imports(path) if level]


def module_file(parts: tuple[str, ...]) -> Path | None:
    """The file of a module, by its path below the pack's root; None for a name inside a module."""
    path = ROOT.joinpath(*parts)
    candidates = path.with_name(f"{path.name}.py"), path / "__init__.py"
    return next((candidate for candidate in candidates if candidate.is_file()), None)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_absolute_imports_are_the_allowed_packages(path):
    in_host = path.is_relative_to(ROOT / "nodes") or path.is_relative_to(CORE / "host")
    for level, module in imports(path):
        top = module.split(".")[0]
        if level == 0 and top not in sys.stdlib_module_names:
            optional = path.relative_to(ROOT).as_posix() in OPTIONAL.get(top, ())
            assert top in ALLOWED or (in_host and top in COMFY) or optional, f"{path} may not import {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_rooms_import_one_way(path):
    own = room_of(path.relative_to(ROOT).with_suffix("").parts)
    for target in relative_imports(path):
        room = room_of(target)
        assert room in MAY_IMPORT[own] | {own}, f"{path}: {own} may not import {room}"


def test_no_module_imports_itself_by_way_of_others():
    imported = {path: [file for parts in relative_imports(path) if (file := module_file(parts))] for path in SOURCES}
    done: set[Path] = set()

    def visit(path: Path, way: list[Path]) -> None:
        assert path not in way, "a circle: " + " → ".join(str(step.relative_to(ROOT))
                                                          for step in [*way[way.index(path):], path])
        if path not in done:
            for target in imported[path]:
                gathers_names = path.name == "__init__.py" and target.parent == path.parent
                if not gathers_names:
                    visit(target, [*way, path])
            done.add(path)

    for path in SOURCES:
        visit(path, [])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_command_line_is_known_to_its_own_room_alone(path):
    knows_argparse = "argparse" in {module for _, module in imports(path)}
    assert not knows_argparse or path.is_relative_to(CORE / "cli"), f"{path} knows argparse"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_pickle_eval_or_network(path):
    calls = {ast.unparse(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)}
    assert not calls & {"eval", "exec", "torch.load", "pickle.load", "pickle.loads"}
    assert not calls & {"__import__", "import_module", "importlib.import_module"}, "ways past the rooms"
    refused = {"pickle", "urllib", "requests", "http", "socket", "subprocess"}
    refused -= NETWORK.get(path.relative_to(ROOT).as_posix(), set())
    assert not {module.split(".")[0] for level, module in imports(path) if level == 0} & refused


@pytest.mark.parametrize("room", ["nodes", "host", *sorted(MIDDLE)])
def test_nothing_in_comfyui_reaches_the_network(room):
    reached, new = set(), {room}
    while new:
        reached |= new
        new = set().union(*(MAY_IMPORT[name] for name in new)) - reached
    assert "services" not in reached


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_functions_and_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, f"{path} is longer than 400 lines"
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 40, f"{path}:{node.lineno} {node.name} has {lines} lines; 40 are the most"


def test_core_runs_without_a_host():
    """glm_core is imported by these very tests, with no comfy anywhere."""
    import glm_core.cli  # noqa: F401

    assert not any(name == "comfy" or name.startswith("comfy.") for name in sys.modules)
