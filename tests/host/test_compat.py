"""What depends on the version of ComfyUI, tested with stand-ins for the modules that differ."""

import importlib.util
import sys
from dataclasses import make_dataclass
from types import ModuleType, SimpleNamespace
from unittest.mock import Mock, patch

import pytest
import torch

from tests.support.hosts import PACK

MODULES = ("comfy", "comfy.lora", "comfy.model_management", "comfy.model_patcher", "comfy.ops", "comfy.quant_ops",
           "comfy.cli_args", "comfy_api", "comfy_api.latest", "comfy_execution", "comfy_execution.utils", "server")
CPU = torch.device("cpu")
KITCHEN = "comfy.quant_ops.ck"


class Patcher:
    """What every version has."""


def model_lora_keys_unet(model, key_map):
    return key_map


EVERY_VERSION = {
    "comfy.model_patcher.ModelPatcher": Patcher, "comfy.model_management.get_free_memory": lambda device: 7,
    "comfy.cli_args.args": SimpleNamespace(), "comfy_execution.utils.get_executing_context": lambda: None,
    "comfy.lora.model_lora_keys_unet": model_lora_keys_unet, "server.PromptServer": SimpleNamespace(),
    "comfy_api.latest.io": SimpleNamespace(Schema=make_dataclass("Schema", ["node_id"])),
}


def load_compat(**given) -> ModuleType:
    """host/compat.py in a ComfyUI that has EVERY_VERSION and ``given``, by dotted names with __ for the dots."""
    modules = {name: ModuleType(name) for name in MODULES}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    for name, value in {**EVERY_VERSION, **{name.replace("__", "."): value for name, value in given.items()}}.items():
        place, _, attribute = name.rpartition(".")
        setattr(modules[place], attribute, value)
    spec = importlib.util.spec_from_file_location("compat_of_a_stand_in", PACK / "glm_core" / "host" / "compat.py")
    assert spec is not None and spec.loader is not None
    compat = importlib.util.module_from_spec(spec)
    with patch.dict(sys.modules, modules):
        spec.loader.exec_module(compat)
    return compat


def kitchen(*kernels: str, available: bool = True, **functions) -> SimpleNamespace:
    backends = {"eager": {"capabilities": ["apply_rope_split_half1"], "available": True, "disabled": False},
                "cuda": {"capabilities": list(kernels), "available": available, "disabled": False}}
    return SimpleNamespace(list_backends=lambda: backends, **functions)


def test_the_patcher_that_pages_is_taken_where_there_is_one():
    class Core(Patcher):
        pass

    assert load_compat().core_patcher_class() is Patcher
    assert load_compat(comfy__model_patcher__CoreModelPatcher=Core).core_patcher_class() is Core


@pytest.mark.parametrize("patcher, dynamic", [
    (SimpleNamespace(), False), (SimpleNamespace(is_dynamic=lambda: False), False),
    (SimpleNamespace(is_dynamic=lambda: True), True)])
def test_only_a_patcher_that_says_so_pages(patcher, dynamic):
    assert load_compat().is_dynamic(patcher) == dynamic


def test_dtypes_are_noted_where_patchers_keep_to_them():
    archive, module = Mock(), torch.nn.Linear(1, 1)
    load_compat().record_dtypes(module)
    load_compat(comfy__model_management__archive_model_dtypes=archive).record_dtypes(module)
    archive.assert_called_once_with(module)


def test_cuda_graphs_are_on_unless_the_option_turns_them_off():
    assert not load_compat().cuda_graphs_disabled()
    assert load_compat(comfy__cli_args__args=SimpleNamespace(disable_cuda_graphs=True)).cuda_graphs_disabled()


def test_free_memory_is_the_patchers_where_it_knows():
    compat = load_compat()
    assert compat.free_memory(None, CPU) == compat.free_memory(SimpleNamespace(), CPU) == 7
    assert compat.free_memory(SimpleNamespace(get_free_memory=lambda device: 9), CPU) == 9


def test_a_fused_rotation_needs_a_kernel_of_its_own():
    rotate = Mock()
    assert load_compat().fused_rotation() is None
    assert load_compat(**{KITCHEN: kitchen()}).fused_rotation() is None
    assert load_compat(**{KITCHEN: kitchen("apply_rope_split_half1", available=False)}).fused_rotation() is None
    with_kernel = kitchen("apply_rope_split_half1", apply_rope_split_half1=rotate)
    assert load_compat(**{KITCHEN: with_kernel}).fused_rotation() is rotate


def test_pages_are_held_only_with_both_functions():
    first, second = "comfy__ops__cast_modules_with_vbar", "comfy__ops__resolve_cast_module_with_vbar"
    assert not load_compat().can_hold_pages()
    assert not load_compat(**{first: Mock()}).can_hold_pages()
    assert load_compat(**{first: Mock(), second: Mock()}).can_hold_pages()


def test_paged_layers_are_those_with_pages():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
    assert load_compat().paged_modules(model) == []
    vars(model[1])["_v"] = "its pages"
    assert load_compat().paged_modules(model) == [model[1]]


def test_flash_decoding_needs_a_library_that_has_it_for_the_device():
    decode = Mock()
    assert load_compat().flash_decoding(CPU) is None
    assert load_compat(**{KITCHEN: kitchen()}).flash_decoding(CPU) is None
    for available in (False, True):
        library = kitchen(flash_attention_decode=decode,
                          flash_attention_decode_is_available=Mock(return_value=available))
        assert load_compat(**{KITCHEN: library}).flash_decoding(CPU) is (decode if available else None)


def test_text_goes_to_the_node_and_client_that_run():
    sent, running = Mock(), SimpleNamespace(node_id="5")
    server = SimpleNamespace(send_progress_text=sent,
                             instance=SimpleNamespace(send_progress_text=sent, client_id="me"))
    load_compat(server__PromptServer=server).show_progress_text("outside a prompt")
    in_a_prompt = {"comfy_execution__utils__get_executing_context": lambda: running}
    load_compat(**in_a_prompt).show_progress_text("no such function")
    sent.assert_not_called()
    load_compat(server__PromptServer=server, **in_a_prompt).show_progress_text("3 / 4")
    sent.assert_called_once_with("3 / 4", "5", "me")


def test_names_of_loras_are_added_once_and_for_our_model_alone():
    class Ours(SimpleNamespace):
        def state_dict(self):
            return {"diffusion_model.a.weight": 0, "diffusion_model.a.bias": 0}

    compat = load_compat()
    for _ in range(2):
        compat.add_lora_names(Ours, lambda module: [f"tool.{module}"])
    keys = compat.comfy.lora.model_lora_keys_unet
    assert keys(Ours(), {}) == {"tool.a": "diffusion_model.a.weight"}
    assert keys(SimpleNamespace(), {}) == {}
    assert keys.__wrapped__ is model_lora_keys_unet


def test_nodes_have_search_aliases_where_their_schema_does():
    newer = SimpleNamespace(Schema=make_dataclass("Schema", ["node_id", "search_aliases"]))
    assert load_compat(comfy_api__latest__io=newer).search_aliases("a", "b") == {"search_aliases": ["a", "b"]}
    assert load_compat().search_aliases("a", "b") == {}
