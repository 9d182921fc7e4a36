"""Core's nodes around our MODEL, CONDITIONING and LATENT: what docs/works-with.md says of each.

One run has a sampler for every node; its latent is compared with that of the plain workflow.
"""

import re

import pytest
import torch

from tests.host.branches import Branches
from tests.host.conftest import LORA
from tests.host.graphs import (
    TINY_FILES,
    error_message,
    id_of,
    inputs_of,
    is_close,
    load_saved,
    make_node,
    save_tensors,
    small_workflow,
    with_model,
)
from tests.support.hosts import PACK

STEPS = 3
WHOLE_RANGE = {"start_percent": 0.0, "end_percent": 1.0}
LAYERS = {"double_layers": "0", "single_layers": ""}
PATCHES = {  # nodes MODEL → MODEL that change the image, with their inputs
    "APG": {"eta": 0.5, "norm_threshold": 1.0, "momentum": 0.0},
    "CFGNorm": {"strength": 0.8},
    "CFGOverride": {"cfg": 1.0, **WHOLE_RANGE},
    "CFGZeroStar": {},
    "Epsilon Scaling": {"scaling_factor": 1.1},
    "Mahiro": {},
    "RescaleCFG": {"multiplier": 0.7},
    "SkipLayerGuidanceDiT": {**LAYERS, "scale": 3.0, "rescaling_scale": 0.0, **WHOLE_RANGE},
    "SkipLayerGuidanceDiTSimple": {**LAYERS, **WHOLE_RANGE},
    "SkipLayerGuidanceSD3": {"layers": "0", "scale": 3.0, **WHOLE_RANGE},
    "TCFG": {},
    "TemporalScoreRescaling": {"tsr_k": 0.5, "tsr_sigma": 1.0},
}
NO_EFFECT = {  # they look for blocks or attention patches that only a UNet has
    "HyperTile": {"tile_size": 32, "swap_size": 2, "max_depth": 0, "scale_depth": False},
    "NAGuidance": {"nag_scale": 5.0, "nag_alpha": 0.5, "nag_tau": 1.5},
    "PatchModelAddDownscale": {
        "block_number": 3, "downscale_factor": 2.0, "downscale_after_skip": True, "downscale_method": "bicubic",
        "upscale_method": "bicubic", **WHOLE_RANGE},
    "PerturbedAttentionGuidance": {"scale": 3.0},
    "TomePatchModel": {"ratio": 0.3},
}
MERGES = {
    "ModelMergeAdd": {}, "ModelMergeBlocks": {"input": 0.5, "middle": 0.5, "out": 0.5},
    "ModelMergeSimple": {"ratio": 0.5}, "ModelMergeSubtract": {"multiplier": 0.5},
}
AREA = {"width": 64, "height": 64, "x": 0, "y": 0, "strength": 1.0}
CONDITIONINGS = {  # nodes that change the positive conditioning
    "ConditioningAverage": {"conditioning_to": "plan", "conditioning_from": "text", "conditioning_to_strength": 0.5},
    "ConditioningConcat": {"conditioning_to": "plan", "conditioning_from": "text"},
    "ConditioningCombine": {"conditioning_1": "plan", "conditioning_2": "text"},
    "ConditioningSetArea": {"conditioning": "text", **AREA},
    "ConditioningSetAreaPercentage": {"conditioning": "text", "width": 0.5, "height": 0.5, "x": 0.0, "y": 0.0,
                                      "strength": 1.0},
    "ConditioningSetMask": {"conditioning": "text", "mask": ["mask", 0], "strength": 1.0, "set_cond_area": "default"},
    "ConditioningSetTimestepRange": {"conditioning": "text", "start": 0.0, "end": 0.5},
}
ADDED = "ConditioningSetArea", "ConditioningSetAreaPercentage", "ConditioningSetMask", "ConditioningSetTimestepRange"
GUIDERS = {
    "BasicGuider": {"conditioning": "plan"},
    "DualCFGGuider": {"cond1": "plan", "cond2": "text", "negative": "negative", "cfg_conds": 3.0,
                      "cfg_cond2_negative": 1.5, "style": "regular"},
    "PerpNegGuider": {"positive": "plan", "negative": "text", "empty_conditioning": "negative", "cfg": 1.5,
                      "neg_scale": 1.0},
}
REFUSED = {  # they need a UNet; the message is core's own
    "FreeU": {"b1": 1.1, "b2": 1.2, "s1": 0.9, "s2": 0.2},
    "FreeU_V2": {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2},
    "SelfAttentionGuidance": {"scale": 0.5, "blur_sigma": 2.0},
}
PAGE = PACK / "docs" / "works-with.md"


class Cases:
    """A run with a branch for each node that this ComfyUI has."""

    def __init__(self, info: dict):
        self.info, self.branches = info, Branches(STEPS)
        links = self.branches.sampler
        self.links = {"plan": links["positive"], "negative": links["negative"], "text": ["text", 0]}
        clip = inputs_of(self.branches.graph, "GLMImageConditioning")["clip"]
        self.branches.graph |= {
            "text": make_node("CLIPTextEncode", clip=clip, text='"SHUT"'),
            "mask": make_node("SolidMask", value=1.0, width=48, height=64),
            "lora": make_node("LoraLoaderModelOnly", model=self.branches.loader, lora_name=LORA, strength_model=1.0),
            "euler": make_node("KSamplerSelect", sampler_name="euler"),
            "sigmas": make_node("BasicScheduler", model=["plain.shift", 0], scheduler="simple", steps=STEPS,
                                denoise=1.0),
            "noise": make_node("RandomNoise", noise_seed=links["seed"]),
            "no_noise": make_node("DisableNoise"),
        }
        self.branches.add("plain", self.branches.loader)
        self.branches.add("text", self.branches.loader, positive=["text", 0])

    def linked(self, inputs: dict) -> dict:
        """The inputs, with links instead of the names of conditionings."""
        return {name: self.links.get(value, value) if isinstance(value, str) else value
                for name, value in inputs.items()}

    def patch(self, class_type: str, inputs: dict) -> None:
        if class_type in self.info:
            self.branches.add_loader(class_type, make_node(class_type, **inputs))

    def merge(self, class_type: str, inputs: dict) -> None:
        self.branches.graph[class_type] = make_node(class_type, model1=["lora", 0], model2=self.branches.loader,
                                                    **inputs)
        self.branches.add(class_type, [class_type, 0])

    def conditioning(self, class_type: str, inputs: dict) -> None:
        graph = self.branches.graph
        graph[class_type] = make_node(class_type, **self.linked(inputs))
        positive = [class_type, 0]
        if class_type in ADDED:
            graph[f"{class_type}.both"] = make_node("ConditioningCombine", conditioning_1=self.links["plan"],
                                                    conditioning_2=positive)
            positive = [f"{class_type}.both", 0]
        self.branches.add(class_type, self.branches.loader, positive=positive)

    def advanced(self, name: str, guider: list, sigmas: list, **inputs) -> None:
        """SamplerCustomAdvanced; ``inputs``: others than the usual ones."""
        usual = {"noise": ["noise", 0], "latent_image": self.branches.sampler["latent_image"]}
        self.branches.graph[f"{name}.sampler"] = make_node("SamplerCustomAdvanced", guider=guider, sampler=["euler", 0],
                                                           sigmas=sigmas, **usual | inputs)

    def guider(self, class_type: str, inputs: dict) -> None:
        self.branches.graph[class_type] = make_node(class_type, model=["plain.shift", 0], **self.linked(inputs))
        self.advanced(class_type, [class_type, 0], ["sigmas", 0])
        self.save(class_type)

    def save(self, name: str) -> None:
        self.branches.save(name, [f"{name}.sampler", 0])

    def samplers(self) -> None:
        """The whole schedule in two parts, in one node, and SamplerCustom: all are the plain workflow."""
        graph, plain = self.branches.graph, self.branches.sampler
        shared = {"positive": plain["positive"], "negative": plain["negative"], "cfg": plain["cfg"]}
        graph |= {
            "cfg": make_node("CFGGuider", model=["plain.shift", 0], **shared),
            "split": make_node("SplitSigmas", sigmas=["sigmas", 0], step=1),
            "SamplerCustom.sampler": make_node(
                "SamplerCustom", model=["plain.shift", 0], add_noise=True, noise_seed=plain["seed"],
                sampler=["euler", 0], sigmas=["sigmas", 0], latent_image=plain["latent_image"], **shared),
        }
        self.advanced("CFGGuider", ["cfg", 0], ["sigmas", 0])
        self.advanced("first_part", ["cfg", 0], ["split", 0])
        self.advanced("SplitSigmas", ["cfg", 0], ["split", 1], noise=["no_noise", 0],
                      latent_image=["first_part.sampler", 0])
        for name in SAME:
            self.save(name)

    def perp_neg(self) -> None:
        graph = self.branches.graph
        graph["PerpNeg"] = make_node("PerpNeg", model=self.branches.loader, empty_conditioning=self.links["negative"],
                                     neg_scale=1.0)
        self.branches.add("PerpNeg", ["PerpNeg", 0], negative=["text", 0])


SAME = "CFGGuider", "SamplerCustom", "SplitSigmas"


@pytest.fixture(scope="module")
def latents(server) -> dict[str, torch.Tensor]:
    cases = Cases(server.get("/object_info"))
    for class_type, inputs in (PATCHES | NO_EFFECT).items():
        cases.patch(class_type, inputs)
    for class_type, inputs in MERGES.items():
        cases.merge(class_type, inputs)
    for class_type, inputs in CONDITIONINGS.items():
        cases.conditioning(class_type, inputs)
    for class_type, inputs in GUIDERS.items():
        cases.guider(class_type, inputs)
    cases.samplers()
    cases.perp_neg()
    cases.branches.add("lora", ["lora", 0])
    return cases.branches.latents(server)


def latent_of(latents: dict[str, torch.Tensor], class_type: str) -> torch.Tensor:
    if class_type not in latents:
        pytest.skip(f"this ComfyUI has no {class_type}")
    assert latents[class_type].isfinite().all()
    return latents[class_type]


@pytest.mark.parametrize("class_type", [*PATCHES, *MERGES, *CONDITIONINGS, *GUIDERS, "PerpNeg"])
def test_a_node_changes_the_image(latents, class_type):
    assert not is_close(latent_of(latents, class_type), latents["plain"])


@pytest.mark.parametrize("class_type", NO_EFFECT)
def test_a_node_for_unets_changes_nothing(latents, class_type):
    assert is_close(latent_of(latents, class_type), latents["plain"])


@pytest.mark.parametrize("class_type", SAME)
def test_a_sampling_node_gives_what_ksampler_gives(latents, class_type):
    assert is_close(latents[class_type], latents["plain"])


@pytest.mark.parametrize("class_type", MERGES)
def test_a_merge_is_neither_of_its_models(latents, class_type):
    assert not is_close(latents[class_type], latents["lora"])


@pytest.mark.parametrize("class_type, inputs", REFUSED.items())
def test_a_node_that_needs_a_unet_ends_the_run(server, class_type, inputs):
    graph = small_workflow("text_to_image")
    node = make_node(class_type, model=[id_of(graph, "ModelSamplingGLMImage"), 0], **inputs)
    assert error_message(server, with_model(graph, node))


def choices(server, class_type: str, name: str) -> list[str]:
    """Of a combo widget of a core node."""
    return server.get(f"/object_info/{class_type}")[class_type]["input"]["required"][name][0]


@pytest.mark.parametrize("name", ["sampler_name", "scheduler"])
def test_all_samplers_and_schedulers_run(server, name):
    branches = Branches(STEPS)
    branches.graph["model"] = make_node("ModelSamplingGLMImage", **branches.shift)
    found = choices(server, "KSampler", name)
    for choice in found:
        sampler = make_node("KSampler", **branches.sampler | {"model": ["model", 0], name: choice})
        branches.graph[f"{choice}.sampler"] = sampler
        branches.save(choice, [f"{choice}.sampler", 0])
    latents = branches.latents(server)
    assert [choice for choice in found if not latents[choice].isfinite().all()] == []
    assert len(found) > 5 and len({latent.std().item() for latent in latents.values()}) > len(found) // 2


def test_an_enlarged_latent_no_longer_fits_its_plan(server):
    graph = small_workflow("text_to_image")
    sampler = inputs_of(graph, "KSampler")
    graph["larger"] = make_node("LatentUpscaleBy", samples=sampler["latent_image"], upscale_method="bilinear",
                                scale_by=2.0)
    sampler["latent_image"] = ["larger", 0]
    assert "plan" in error_message(server, graph)


def test_inpaint_conditioning_keeps_what_is_outside_the_mask(server):
    graph = small_workflow("text_to_image")
    sampler = inputs_of(graph, "KSampler")
    pixels = {"pixels": [id_of(graph, "VAEDecode"), 0], "vae": [id_of(graph, "GLMImageVAELoader"), 0]}
    graph |= {
        "left": make_node("SolidMask", value=1.0, width=48, height=64),
        "right": make_node("SolidMask", value=0.0, width=96, height=64),
        "mask": make_node("MaskComposite", destination=["right", 0], source=["left", 0], x=0, y=0, operation="add"),
        "inpaint": make_node("InpaintModelConditioning", positive=sampler["positive"], negative=sampler["negative"],
                             mask=["mask", 0], noise_mask=True, **pixels),
    }
    again = {"positive": ["inpaint", 0], "negative": ["inpaint", 1], "latent_image": ["inpaint", 2], "seed": 9}
    graph["again"] = make_node("KSampler", **sampler | again)
    server.run(graph | {"save_before": save_tensors("inpaint_before", latent=["inpaint", 2]),
                        "save_after": save_tensors("inpaint_after", latent=["again", 0])})
    before, after = (load_saved(server, f"inpaint_{name}")["latent"] for name in ("before", "after"))
    change = (after - before).abs()
    assert change[..., 8:].max() <= 1e-4 and change[..., :4].max() > 0.1


def test_tiled_encoding_gives_a_latent_of_the_same_size(server, text_to_image):
    graph = small_workflow("text_to_image")
    graph["tiled"] = make_node("VAEEncodeTiled", pixels=[id_of(graph, "VAEDecode"), 0],
                               vae=[id_of(graph, "GLMImageVAELoader"), 0], tile_size=64, overlap=16, temporal_size=64,
                               temporal_overlap=8)
    server.run(graph | {"save": save_tensors("tiled_latent", latent=["tiled", 0])})
    assert load_saved(server, "tiled_latent")["latent"].shape == text_to_image["latent"].shape


def test_a_scaled_reference_gives_its_size(server):
    graph = {
        "image": make_node("EmptyImage", width=500, height=300, batch_size=1, color=255),
        "scaled": make_node("ImageScale", image=["image", 0], upscale_method="area", width=160, height=96,
                            crop="disabled"),
        "planner": make_node("GLMImagePlannerLoader", planner_name=TINY_FILES["planner_name"]),
        "vae": make_node("GLMImageVAELoader", vae_name=TINY_FILES["vae_name"]),
        "reference": make_node("GLMImageReference", planner=["planner", 0], vae=["vae", 0], image=["scaled", 0],
                               in_negative=False),
        "latent": make_node("EmptyGLMImageLatent", width=["reference", 1], height=["reference", 2], batch_size=1),
        "save": save_tensors("scaled_reference", latent=["latent", 0]),
    }
    server.run(graph)
    assert load_saved(server, "scaled_reference")["latent"].shape == (1, 16, 96 // 8, 160 // 8)


def rows_of_page() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| *")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_row_of_the_page_names_a_test_that_exists():
    rows = rows_of_page()
    assert len(rows) > 20
    for *_, test in rows:
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", test)
        assert named, test
        for file, function in named:
            assert f"def {function}(" in (PACK / "tests" / "host" / file).read_text(encoding="utf-8"), test


def test_the_page_has_every_node_of_these_tests_with_its_outcome():
    outcomes = {node: row[1] for row in rows_of_page() for node in re.findall(r"\*([^*]+)\*", row[0])}
    for outcome, nodes in (("works", (PATCHES, MERGES, CONDITIONINGS, GUIDERS, SAME, ["PerpNeg"])),
                           ("does nothing", (NO_EFFECT,)), ("refused", (REFUSED,))):
        for node in (node for group in nodes for node in group):
            assert outcomes.get(node) == outcome, node
