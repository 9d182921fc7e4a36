"""What saved workflows rely on in each node, and whether it is still there.

``python -m tests.host.frozen`` adds what is new to frozen_nodes.json; it needs a ComfyUI. It never changes what is
frozen already.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.hosts import find_hosts
from tests.support.servers import serve

PATH = Path(__file__).with_name("frozen_nodes.json")
OF_THIS_PACK = "glm-image-native"  # the end of python_module
FILES = {"model_name", "planner_name", "encoder_name", "vae_name", "folder", "lora_name", "file"}  # combos of files
EMBEDDED = "embedded (demo)"  # the one of their values that is the pack's own
# options that give the page a second widget, or none
WIDGETS = "control_after_generate", "image_upload", "forceInput"
WHY = "saved workflows refer to it (CONTRIBUTING.md, What is frozen)"


def read_frozen() -> dict[str, dict]:
    return json.loads(PATH.read_text(encoding="utf-8"))


def describe_nodes(object_info: dict[str, dict]) -> dict[str, dict]:
    """The pack's nodes by id, from the answer to /object_info: inputs and outputs in order."""
    return {node: {"inputs": list(describe_inputs(info)), "outputs": list(info["output"])}
            for node, info in sorted(object_info.items()) if info["python_module"].endswith(OF_THIS_PACK)}


def describe_inputs(info: dict) -> Iterator[dict[str, Any]]:
    for group in ("required", "optional"):
        for name, (kind, *rest) in info["input"].get(group, {}).items():
            settings = rest[0] if rest else {}
            options = kind if isinstance(kind, list) else settings.get("options")  # 0.8 has the first form for some
            described = {"id": name, "type": "COMBO" if options is not None else kind}
            described |= {"optional": True} if group == "optional" else {}
            if options is not None:
                described["values"] = [value for value in options if name not in FILES or value == EMBEDDED]
            yield described | {option: True for option in WIDGETS if settings.get(option)}


def problems(frozen: dict[str, dict], found: dict[str, dict]) -> list[str]:
    """What is no longer as it was frozen, a line each. New nodes, and optional inputs, values and outputs at the end,
    are none."""
    lines = [f"{node} is gone; {WHY}" for node in sorted(frozen.keys() - found.keys())]
    for node in sorted(frozen.keys() & found.keys()):
        lines += [f"{node}: {line}; {WHY}" for line in (*input_problems(frozen[node]["inputs"], found[node]["inputs"]),
                                                       *output_problems(frozen[node]["outputs"],
                                                                        found[node]["outputs"]))]
    return lines


def input_problems(frozen: list[dict], found: list[dict]) -> Iterator[str]:
    for i, wanted in enumerate(frozen):
        got = found[i] if i < len(found) else {"id": "nothing"}
        if wanted["id"] != got["id"]:
            yield f"input {i} must be {wanted['id']} (got {got['id']})"
            return  # those after it are displaced
        for key in ("type", "optional", *WIDGETS):
            if wanted.get(key) != got.get(key) and not (key == "optional" and got.get(key)):
                yield f"{key} of the input {wanted['id']} must be {wanted.get(key)} (got {got.get(key)})"
        if missing := [value for value in wanted.get("values", ()) if value not in got.get("values", ())]:
            yield f"the input {wanted['id']} must take {', '.join(map(str, missing))}"
    for added in found[len(frozen):]:
        if not added.get("optional"):
            yield f"the new input {added['id']} must be optional"


def output_problems(frozen: list[str], found: list[str]) -> Iterator[str]:
    if found[: len(frozen)] != frozen:
        yield f"the outputs must begin with {', '.join(frozen)} (got {', '.join(found)})"


def with_what_is_new(frozen: dict[str, dict], found: dict[str, dict]) -> dict[str, dict]:
    """Raises AssertionError if something frozen has changed."""
    lines = problems(frozen, found)
    assert not lines, "\n".join(lines)
    return dict(sorted(found.items()))


def ask_comfyui() -> dict[str, dict]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, \
            serve(find_hosts()[0], Path(folder), Path(folder) / "models") as server:
        return describe_nodes(server.get("/object_info"))


if __name__ == "__main__":
    updated = with_what_is_new(read_frozen() if PATH.exists() else {}, ask_comfyui())
    rows = [f"{json.dumps(node)}: {json.dumps(entry, ensure_ascii=False)}" for node, entry in updated.items()]
    PATH.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
