"""The graph whose nodes the help pages show: all of the pack's, wired so that a run with the embedded model fills them.

A node's name is its class; of two nodes of a class, the second one's has a number at its end.
"""

from tests.host.graphs import make_node

DEMO = "embedded (demo)"
LORA = "poster_style.safetensors"  # its node is not run
SETTINGS = {"temperature": 0.9, "top_p": 0.75, "top_k": 16384}
TEXTS = {  # language → prompt; prompt after a change; what OCR is to read in each of the best images
    "en": ('A white poster. At the top, "COFFEE" in red letters. In the centre, a green circle.',
           'A white poster. At the top, "COFFEE" in red letters. In the centre, a blue square.',
           "COFFEE,COFFEE,COFFFE"),
    "zh": ("白色海报。顶部，红色的“咖啡”。中央，绿色圆形。",
           "白色海报。顶部，红色的“咖啡”。中央，蓝色方形。",
           "咖啡,咖啡,咖非"),
}


def make_graph(language: str) -> dict[str, dict]:
    """In API form, by the nodes' names."""
    prompt, changed, read = TEXTS[language]
    return loaders() | plans(prompt, changed) | plan_edits() | images(prompt, read)


def loaders() -> dict[str, dict]:
    weights = {"weight_dtype": "default"}
    return {
        "GLMImageDiffusionModelLoader": make_node("GLMImageDiffusionModelLoader", model_name=DEMO, **weights),
        "GLMImagePlannerLoader": make_node("GLMImagePlannerLoader", planner_name=DEMO),
        "GLMImageGlyphEncoderLoader": make_node("GLMImageGlyphEncoderLoader", encoder_name=DEMO, quotes="natural"),
        "GLMImageVAELoader": make_node("GLMImageVAELoader", vae_name=DEMO),
        "GLMImageFolderLoader": make_node("GLMImageFolderLoader", folder=DEMO, quotes="natural", **weights),
        "GLMImageLoraLoader": make_node("GLMImageLoraLoader", model=MODEL, planner=PLANNER, lora_name=LORA,
                                        strength_model=1.0, strength_planner=1.0),
    }


def plans(prompt: str, changed: str) -> dict[str, dict]:
    """The planner's work."""
    common, size = {"planner": PLANNER, "seed": 7, **SETTINGS}, {"width": 256, "height": 256}
    return {
        "GLMImagePlan": make_node("GLMImagePlan", prompt=prompt, batch_size=8, look_ahead=1, **size, **common),
        "GLMImageDraftPlan": make_node("GLMImageDraftPlan", prompt=prompt, count=8, **size, **common),
        "GLMImageFinishPlan": make_node("GLMImageFinishPlan", planner=PLANNER, draft=["GLMImageDraftPlan", 0],
                                        **SETTINGS),
        "GLMImageReplan": make_node("GLMImageReplan", plan=PLANS, mask=["GLMImagePlanPreview", 1], prompt=changed,
                                    margin_x=2, margin_y=1, **common),
        "GLMImageRepairPlan": make_node("GLMImageRepairPlan", plan=PLANS, prompt=prompt, **common),
        "GLMImageBestPlans": make_node("GLMImageBestPlans", plan=PLANS, keep=3),
        "GLMImagePromptCheck": make_node("GLMImagePromptCheck", prompt=prompt, quotes="natural"),
    }


def plan_edits() -> dict[str, dict]:
    return {
        "GLMImagePlanPreview": make_node("GLMImagePlanPreview", plan=PLANS, planner=PLANNER, grid="both", cell=24,
                                         show="tokens", marks="lines", selection="8x8:26,4,4,4,4,4,18"),
        "GLMImageSelectPlan": make_node("GLMImageSelectPlan", plan=PLANS, index=3, count=1),
        "GLMImageJoinPlans": make_node("GLMImageJoinPlans", plan1=PLANS, plan2=PLANS),
        "GLMImageCropPlan": make_node("GLMImageCropPlan", plan=PLANS, width=128, height=128, x=64, y=96),
        "GLMImageComposePlans": make_node("GLMImageComposePlans", base=PLANS, other=["GLMImageCropPlan", 0], x=128,
                                          y=128),
        "GLMImagePadPlan": make_node("GLMImagePadPlan", plan=PLANS, left=0, top=0, right=128, bottom=0),
        "GLMImageUncertainRegion": make_node("GLMImageUncertainRegion", plan=PLANS, share=0.15),
        "GLMImageSavePlan": make_node("GLMImageSavePlan", plan=["GLMImageSelectPlan", 0], filename_prefix="plans/plan",
                                      format="png", planner=PLANNER),
        "GLMImageLoadPlan": make_node("GLMImageLoadPlan", file=""),
    }


def images(prompt: str, read: str) -> dict[str, dict]:
    """From the three best plans to their images, and what is done with images."""
    best, decoded = ["GLMImageBestPlans", 0], ["VAEDecode", 0]
    latent, size = ["EmptyGLMImageLatent", 0], {"width": 256, "height": 256, "batch_size": 1}
    return {
        "GLMImageConditioning": make_node("GLMImageConditioning", clip=CLIP, plan=best),
        "EmptyGLMImageLatent": make_node("EmptyGLMImageLatent", plan=best, **size),
        "ModelSamplingGLMImage": make_node("ModelSamplingGLMImage", model=MODEL, latent=latent),
        "GLMImageScheduler": make_node("GLMImageScheduler", latent=latent, steps=50, denoise=1.0),
        "KSampler": make_node("KSampler", model=["ModelSamplingGLMImage", 0], positive=["GLMImageConditioning", 0],
                              negative=["GLMImageConditioning", 1], latent_image=latent, seed=1, steps=4, cfg=1.5,
                              sampler_name="euler", scheduler="simple", denoise=1.0),
        "VAEDecode": make_node("VAEDecode", samples=["KSampler", 0], vae=VAE),
        "TestOcr": make_node("TestOcr", image=decoded, texts=read),
        "GLMImageReadText": make_node("GLMImageReadText", image=["TestOcr", 0], prompt=prompt),
        "Images": make_node("PreviewImage", images=["GLMImageReadText", 2]),
        "TestOcr2": make_node("TestOcr", image=["GLMImageReadText", 2], texts=read),  # after the first, read again
        "GLMImageBestImages": make_node("GLMImageBestImages", images=["TestOcr2", 0], plan=best, keep=1),
        "BestImage": make_node("PreviewImage", images=["GLMImageBestImages", 0]),
        "CLIPTextEncode": make_node("CLIPTextEncode", clip=CLIP, text=prompt),
        "GLMImageApplyPlan": make_node("GLMImageApplyPlan", positive=["CLIPTextEncode", 0],
                                       negative=["CLIPTextEncode", 0], plan=best),
        "GLMImageReplaceImages": make_node("GLMImageReplaceImages", images=decoded, indices=["GLMImageReadText", 3],
                                           replacements=decoded),
        "GLMImageTokenize": make_node("GLMImageTokenize", planner=PLANNER, image=decoded),
        "GLMImageReference": make_node("GLMImageReference", planner=PLANNER, vae=VAE, image=decoded,
                                       in_negative=False),
        "GLMImageFitImage": make_node("GLMImageFitImage", image=decoded, plan=best),
    }


MODEL, PLANNER, CLIP, VAE, PLANS = (
    [name, 0] for name in ("GLMImageDiffusionModelLoader", "GLMImagePlannerLoader", "GLMImageGlyphEncoderLoader",
                           "GLMImageVAELoader", "GLMImagePlan"))
