"""Run by test_memory.py with a host's own Python inside its folder; argument: the pack's folder. Prints JSON."""

import asyncio
import copy
import json
import os
import sys
from unittest.mock import patch

sys.path.insert(0, os.getcwd())
sys.argv, (pack, model_file, planner_file) = sys.argv[:1], sys.argv[1:]

from comfy.cli_args import args  # noqa: E402

args.cpu = True
import comfy.model_management  # noqa: E402
import torch  # noqa: E402
import utils.extra_config  # noqa: E402, F401
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

import nodes  # noqa: E402, I001

asyncio.run(nodes.load_custom_node(pack, module_parent="custom_nodes"))
host = next(module for name, module in sys.modules.items() if name.endswith("glm_core.host.diffusion"))
references = sys.modules[host.__name__.replace("diffusion", "references")]
planners = sys.modules[host.__name__.replace("diffusion", "planner")]

CPU = torch.device("cpu")


def random_patches(patcher) -> dict:
    """For all matrices, as a LoRA would patch them."""
    matrices = {name: tensor for name, tensor in patcher.model.state_dict().items() if tensor.ndim == 2}
    return {name: ("diff", (0.1 * torch.randn_like(matrix),)) for name, matrix in matrices.items()}


def partly_loaded(patcher, run) -> dict[str, float]:
    """apart: how far what a model gives with half of it loaded is from what it gives whole; then the same with all its matrices
    patched. moved: how far the patches move what it gives."""
    found, whole = {}, []
    for name in ("as it is", "patched"):
        given = []
        for memory in (1e32, patcher.model_size() // 2):
            patcher.patch_model(CPU, lowvram_model_memory=memory)
            loose = [module for module in patcher.model.modules() if hasattr(module, "prev_comfy_cast_weights")]
            given.append(run())
            patcher.unpatch_model(CPU)
        whole.append(given[0])
        found[name] = {"apart": (given[1] - given[0]).abs().max().item(), "loose": len(loose),
                       "moved": (whole[-1] - whole[0]).abs().max().item()}
        patcher.add_patches(random_patches(patcher))
    return found


def prompt_states(model, job) -> torch.Tensor:
    run = sys.modules[planners.Job.__module__].Run.of(model, job, 1, CPU, torch.float32)
    return model.lm_head(run.hidden(model.embed(job.prompt_ids, CPU, torch.float32), 0))


class RecordedPlans:
    """Plans of one prompt, and how often the pass of a token was recorded for each."""

    def __init__(self):
        self.captures = 0

    def capture(self, step):
        """As a CUDA graph: operations and the tensors they work on, and nothing that Python does."""
        self.captures += 1
        return make_fx(step)()

    def recorded(self, planner, **options) -> tuple[torch.Tensor, int]:
        before = self.captures
        return self.written(planner, self.capture, **options), self.captures - before

    @staticmethod
    def written(planner, capture=None, **options) -> torch.Tensor:
        planner.capture = capture
        return planner.plan("a poster", 64, 96, 1, 3, planners.Sampling(), **options).ids

    def cancelled(self, planner) -> bool:
        """Stop a recorded run at its sixth token."""
        def stop(progress, i, tokens):
            if i == 5:
                raise comfy.model_management.InterruptProcessingException

        with patch.object(planners.PlanProgress, "__call__", stop):
            try:
                self.recorded(planner)
            except comfy.model_management.InterruptProcessingException:
                return True
        return False

    def half_loaded(self, planner) -> tuple[torch.Tensor, int]:
        planner.patcher.detach()
        planner.patcher.patch_model(CPU, lowvram_model_memory=planner.patcher.model_size() // 2)
        with patch.object(comfy.model_management, "load_models_gpu"):
            return self.recorded(planner)


def recorded_plans(planner) -> dict:
    """Whether plans come out the same when their pass is recorded, and how often each way of loading and asking recorded one."""
    plans, patched = RecordedPlans(), copy.copy(planner)
    patched.patcher = planner.patcher.clone()
    patched.patcher.add_patches(random_patches(planner.patcher))
    plain, lora = plans.written(planner), plans.written(patched)
    first, with_lora, after_lora = (plans.recorded(owner) for owner in (planner, patched, planner))
    cancelled = plans.cancelled(planner)
    after_cancel, ahead, half = plans.recorded(planner), plans.recorded(planner, ahead=4), plans.half_loaded(planner)
    return {
        "same": [torch.equal(ids, plain) for ids, count in (first, after_lora, after_cancel, ahead, half)],
        "lora": torch.equal(with_lora[0], lora), "lora moves it": not torch.equal(lora, plain), "cancelled": cancelled,
        "recorded": [count for ids, count in (first, with_lora, after_lora, after_cancel)], "plain": [ahead[1], half[1]],
    }


def recorders() -> dict[str, bool]:
    """Where a pass is recorded."""
    cuda = torch.device("cuda")
    found = {"other": planners.recorder(cuda) is not None}
    with patch.object(comfy.model_management, "is_nvidia", lambda: True):
        found |= {"nvidia": planners.recorder(cuda) is planners.record_cuda_graph_if_possible, "cpu": planners.recorder(CPU) is not None}
        with patch.object(args, "disable_cuda_graphs", True, create=True):
            return found | {"told not to": planners.recorder(cuda) is not None}


def fused_planners() -> dict[str, bool]:
    """Which planners have one matrix for queries, keys and values, and where ComfyUI is seen to page weights."""
    loading = sys.modules[planners.__name__.replace("planner", "loading")]
    found = {"fused": planners.HostPlanner(planner_file).config.fused}
    with patch.object(planners, "pages_weights", lambda device: True):
        found["fused where weights are paged"] = planners.HostPlanner(planner_file).config.fused
    with patch.object(comfy.model_patcher, "CoreModelPatcher", object, create=True):
        return found | {name: loading.pages_weights(torch.device(name)) for name in ("cpu", "cuda")}


torch.manual_seed(0)
with torch.inference_mode():
    model = host.load_diffusion_model(model_file).model
    comfy.model_management.pytorch_attention_flash_attention = lambda: True
    latents = [torch.randn(1, 16, 64, 68), torch.randn(1, 16, 80, 64)]
    shape = [1, 16, 128, 128]
    plain = model.memory_required(shape)
    with_references = model.memory_required(shape, {"references": [model.extra_conds_shapes(reference_latents=latents)["references"]]})
    ids = [torch.zeros(1, latent.shape[2] // 4, latent.shape[3] // 4, dtype=torch.int64) for latent in latents]
    pictures = [references.Reference(latent, tokens) for latent, tokens in zip(latents, ids)]
    kept = [model.keys_values(picture, torch.device("cpu"), {}) for picture in pictures]
    kept_bytes = sum(tensor.nbytes for layers in kept for pair in layers for tensor in pair)
    again = model.keys_values(pictures[0], torch.device("cpu"), {}) is kept[0]
    model.references.clear()
    anew = model.keys_values(pictures[0], torch.device("cpu"), {})

    network = model.diffusion_model
    x, context = torch.randn(1, 16, 8, 12), torch.randn(1, 5, network.config.text_embed_dim)
    size = torch.tensor([[64, 96]])
    attention = sys.modules["comfy.ldm.modules.attention"]
    attention.optimized_attention = attention.attention_pytorch  # as on a GPU; what a CPU gets asks for free memory in every call
    compiled = torch.compile(network, backend="eager", fullgraph=True)  # a graph break is an error
    apart, frames = [], []
    for prior in (torch.randint(0, 64, (1, 1, 8, 12)), torch.full((1, 1, 8, 12), -1)):
        given = x, torch.tensor([500.0]), context, prior, size, {}
        apart.append((compiled(*given) - network(*given)).abs().max().item())
        frames.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])

    given = x, torch.tensor([500.0]), context, torch.randint(0, 64, (1, 1, 8, 12)), size, {}
    decoder = host.load_diffusion_model(model_file)
    planner = planners.HostPlanner(planner_file)
    job = planners.prepare(planner.tokenizer, planner.config, "a poster", 64, 96)
    partly = {
        "decoder": partly_loaded(decoder, lambda: decoder.model.diffusion_model(*given)),
        "planner": partly_loaded(planner.patcher, lambda: prompt_states(planner.patcher.model, job)),
    }
    recorded = recorded_plans(planners.HostPlanner(planner_file))
    planner = planner.patcher
    table = planner.model.language_model.embed_tokens.weight
    names = [name for name in planner.model.state_dict() if "embed" in name]
    words = {"managed": planner.model_size(), "table": table.nbytes, "names": names}

    comfy.model_management.get_free_memory = lambda device: 10_000
    comfy.model_management.minimum_inference_memory = lambda: 4_000
    cuda = torch.device("cuda")
    print(json.dumps({
        "estimated": with_references - plain, "kept": kept_bytes, "again": again,
        "picture": plain, "streams": host.STREAMS_IN_MEMORY * model.diffusion_model.embed(torch.zeros(shape), None)[0].nbytes,
        "anew": anew is not kept[0] and torch.equal(anew[0][0], kept[0][0][0]),
        "words": words, "partly": partly, "recorded": recorded, "recorders": recorders(), "fused": fused_planners(),
        "compiled": {"apart": max(apart), "graphs": frames},
        "fits": str(references.storage_device(6_000, cuda)), "too large": str(references.storage_device(6_001, cuda)),
    }))
