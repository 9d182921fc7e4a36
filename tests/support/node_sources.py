"""The pack's nodes as their source files describe them, so that no ComfyUI is needed."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from glm_core.planner import Sampling

NODES = Path(__file__).resolve().parents[2] / "nodes"
SAMPLING_INPUTS = "sampling_inputs"  # the helper in nodes/planner.py that makes an input of every field of Sampling


@dataclass(frozen=True)
class NodeSource:
    """A node class. inputs: their ids. module: name of the module in nodes/ that defines it."""

    node_id: str
    display_name: str
    inputs: tuple[str, ...]
    module: str


def read_nodes() -> list[NodeSource]:
    """All nodes of the pack."""
    modules = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(NODES.glob("*.py"))}
    statements = [statement for module in modules.values() for statement in module.body]
    helpers = {statement.name: statement for statement in statements if isinstance(statement, ast.FunctionDef)}
    return [read_node(schema, helpers, name) for name, module in modules.items() for schema in schemas(module)]


def registered_modules() -> list[str]:
    """The names in MODULES of nodes/__init__.py."""
    for statement in ast.parse((NODES / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "MODULES":
            return [name.id for name in ast.walk(statement.value) if isinstance(name, ast.Name)]
    raise AssertionError("nodes/__init__.py has no tuple MODULES")


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def schemas(module: ast.Module) -> list[ast.Call]:
    """The io.Schema(...) of each node."""
    return [call for call in calls(module) if ast.unparse(call.func) == "io.Schema"]


def read_node(schema: ast.Call, helpers: dict[str, ast.FunctionDef], module: str) -> NodeSource:
    values = {keyword.arg: keyword.value for keyword in schema.keywords}
    node_id, display_name = (ast.literal_eval(values[name]) for name in ("node_id", "display_name"))
    inputs = tuple(dict.fromkeys(input_names(values["inputs"], helpers)))
    return NodeSource(node_id, display_name, inputs, module)


def input_names(tree: ast.AST, helpers: dict[str, ast.FunctionDef]) -> list[str]:
    """Ids of the inputs in a piece of source; helper functions are followed."""
    names = []
    for call in calls(tree):
        function = ast.unparse(call.func)
        if function.endswith(".Input"):
            names.append(ast.literal_eval(call.args[0]))
        elif function == SAMPLING_INPUTS:
            names += [field.name for field in fields(Sampling)]
        elif function in helpers:
            names += input_names(returned(helpers[function]), helpers)
    return names


def returned(function: ast.FunctionDef) -> ast.AST:
    """The expression that a function returns at its end."""
    last = function.body[-1]
    assert isinstance(last, ast.Return) and last.value, f"{function.name} of nodes/ must end with a return"
    return last.value
