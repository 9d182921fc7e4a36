"""Where the nodes of each shipped workflow stand in the page, the groups around them, and the notes beside them."""

from dataclasses import dataclass

# title: x, y (below the title bar), width, height; the link of VAE runs above all nodes, that of MODEL below them
TEXT_TO_IMAGE = {
    "Load GLM-Image VAE": (0, 0, 380, 60),
    "Load GLM-Image Planner": (0, 110, 380, 60),
    "Load GLM-Image Glyph Encoder": (0, 620, 380, 82),
    "Load GLM-Image Diffusion Model": (0, 970, 380, 82),
    "GLM-Image Plan": (460, 110, 400, 420),
    "GLM-Image Plan Preview": (940, 110, 320, 450),
    "GLM-Image Conditioning": (940, 620, 320, 86),
    "Empty GLM-Image Latent": (940, 790, 320, 106),
    "RandomNoise": (1340, 110, 280, 82),
    "KSamplerSelect": (1340, 270, 280, 58),
    "GLM-Image Scheduler": (1340, 410, 280, 82),
    "CFGGuider": (1340, 970, 280, 98),
    "ModelSamplingGLMImage": (1340, 970, 280, 46),
    "KSampler": (1700, 560, 300, 262),
    "SamplerCustomAdvanced": (1700, 410, 300, 106),
    "VAE Decode": (2080, 0, 220, 46),
    "Save Image": (2380, 0, 400, 460),
}


def moved(layout: dict, pixels: int) -> dict:
    """The layout with everything but the left column moved to the right."""
    return {title: (x + pixels if x else x, *rest) for title, (x, *rest) in layout.items()}


EDIT = moved(TEXT_TO_IMAGE, 420) | {
    "Picture": (0, 270, 380, 330),
    "Load GLM-Image Glyph Encoder": (0, 690, 380, 82),
    "GLM-Image Reference": (460, 540, 340, 106),
}
LAYOUTS = {  # of the workflows that are not laid out as text_to_image is
    "edit_image": EDIT,
    "edit_multi_image": moved(TEXT_TO_IMAGE, 840) | {
        "First picture": (0, 240, 380, 330),
        "Second picture": (0, 640, 380, 330),
        "Load GLM-Image Glyph Encoder": (0, 1050, 380, 82),
        "Load GLM-Image Diffusion Model": (0, 1220, 380, 82),
        "Reference first picture": (460, 300, 340, 106),
        "Reference second picture": (880, 540, 340, 106),
    },
    "inpaint": moved(EDIT, 780) | {
        "Picture with mask": (0, 640, 380, 330),
        "Load GLM-Image Glyph Encoder": (0, 1050, 380, 82),
        "Load GLM-Image Diffusion Model": (0, 1220, 380, 82),
        "Load GLM-Image VAE": (0, 1390, 380, 60),
        "GLM-Image Reference": (460, 540, 340, 106),
        "GLM-Image Plan": (880, 110, 400, 420),
        "GLM-Image Conditioning": (1360, 620, 320, 86),
        "GLM-Image Fit Image": (1360, 790, 320, 106),
        "VAE Encode": (1760, 930, 280, 46),
        "Set Latent Noise Mask": (2120, 860, 280, 46),
        "ModelSamplingGLMImage": (2480, 1040, 280, 46),
        "KSampler": (2840, 560, 300, 262),
        "VAE Decode": (3220, 1150, 220, 46),
        "Save Image": (3520, 560, 400, 460),
    },
    "image_variation": TEXT_TO_IMAGE | {
        "Picture": (0, 250, 380, 330),
        "Texts": (460, 790, 400, 110),
        "Load GLM-Image Glyph Encoder": (0, 670, 380, 82),
        "GLM-Image Tokenize": (460, 110, 400, 46),
    },
}


# NEW
def moved_down(layout: dict, pixels: int, above: int) -> dict:
    """The layout with everything below ``above`` moved down."""
    return {title: (x, y + pixels if y > above else y, *size) for title, (x, y, *size) in layout.items()}


# In one row. Above it run the links of diffusion model, glyph encoder and planner, below it those of the VAE.
START = {
    "Load GLM-Image Diffusion Model": (0, 0, 380, 82),
    "Load GLM-Image Glyph Encoder": (0, 140, 380, 82),
    "Load GLM-Image Planner": (0, 280, 380, 60),
    "Load GLM-Image VAE": (0, 1280, 380, 60),
    "GLM-Image Plan (start)": (460, 560, 360, 420),
    "GLM-Image Conditioning (start)": (880, 460, 280, 86),
    "Empty GLM-Image Latent (start)": (880, 640, 280, 106),
    "ModelSamplingGLMImage (start)": (1220, 380, 260, 46),
    "KSampler (start)": (1540, 500, 280, 262),
    "VAE Decode (start)": (1880, 840, 180, 46),
}
LAYOUTS |= {
    "replan_region": {
        "Load GLM-Image Planner": (0, 700, 380, 60),
        "Load GLM-Image Glyph Encoder": (460, 640, 400, 82),
        "Load GLM-Image Diffusion Model": (1020, 540, 320, 82),
        "Load GLM-Image VAE": (2360, 580, 300, 60),
        "GLM-Image Plan (before)": (460, 60, 400, 420),
        "GLM-Image Conditioning (before)": (1020, 60, 320, 86),
        "Empty GLM-Image Latent": (1020, 220, 320, 106),
        "ModelSamplingGLMImage": (1420, 430, 280, 46),
        "KSampler (before)": (1780, 60, 300, 262),
        "VAE Decode (before)": (2820, 420, 220, 46),
        "Preview Image (before)": (3180, 60, 340, 400),
        "Whole image": (0, 1080, 280, 106),
        "Region": (0, 1260, 280, 106),
        "Place the region": (360, 1080, 280, 130),
        "Preview Mask": (720, 1280, 280, 240),
        "GLM-Image Replan": (1120, 1080, 400, 440),
        "GLM-Image Conditioning (after)": (1600, 780, 320, 86),
        "Set Latent Noise Mask": (2080, 1020, 280, 46),
        "KSampler (after)": (2440, 780, 300, 262),
        "VAE Decode (after)": (2820, 780, 220, 46),
        "Keep the other pixels": (3200, 1080, 300, 150),
        "Save Image": (3580, 1080, 400, 440),
    },
    "outpaint": START | {
        "Image to extend": (2140, 880, 300, 300),
        "GLM-Image Tokenize": (2140, 280, 300, 46),
        "GLM-Image Pad Plan": (2520, 400, 300, 150),
        "GLM-Image Fit Image": (2520, 720, 300, 106),
        "GLM-Image Replan": (2900, 190, 400, 440),
        "Pad Image for Outpainting": (2900, 720, 300, 174),
        "GLM-Image Conditioning": (3380, 60, 320, 86),
        "VAE Encode": (3380, 1100, 280, 46),
        "Set Latent Noise Mask": (3760, 640, 280, 46),
        "ModelSamplingGLMImage": (4120, 0, 280, 46),
        "KSampler": (4480, 120, 300, 262),
        "VAE Decode": (4860, 1280, 220, 46),
        "Keep the old pixels": (5160, 640, 300, 150),
        "Save Image": (5540, 560, 400, 400),
    },
    "upscale": moved_down(START, 180, above=100) | {
        "Prompt": (0, 140, 380, 120),
        "Make it small": (2140, 680, 300, 130),
        "Small image": (2520, 840, 300, 300),
        "Enlarge": (2520, 680, 300, 82),
        "GLM-Image Tokenize": (2900, 460, 300, 46),
        "GLM-Image Fit Image": (3280, 680, 300, 106),
        "GLM-Image Conditioning": (3280, 200, 320, 86),
        "VAE Encode": (3660, 1300, 280, 46),
        "ModelSamplingGLMImage": (4060, 0, 280, 46),
        "KSampler": (4420, 300, 300, 262),
        "VAE Decode": (4800, 1460, 220, 46),
        "Save Image": (5100, 700, 400, 400),
    },
    "style_transfer": START | {
        "Load GLM-Image Planner": (0, 1060, 380, 60),
        "Load GLM-Image VAE": (0, 1480, 380, 60),
        "Image to restyle": (2140, 480, 300, 300),
        "GLM-Image Reference": (2140, 860, 300, 118),
        "GLM-Image Plan": (2520, 1000, 400, 420),
        "GLM-Image Conditioning": (3000, 300, 320, 86),
        "Empty GLM-Image Latent": (3000, 1000, 320, 106),
        "ModelSamplingGLMImage": (3400, 160, 280, 46),
        "KSampler": (3760, 420, 300, 262),
        "VAE Decode": (4140, 1480, 220, 46),
        "Save Image": (4440, 900, 400, 400),
    },
    "compose_two_plans": {
        "Load GLM-Image Diffusion Model": (0, 0, 380, 82),
        "Load GLM-Image Glyph Encoder": (0, 140, 380, 82),
        "Load GLM-Image Planner": (0, 720, 380, 60),
        "Load GLM-Image VAE": (0, 1460, 380, 60),
        "GLM-Image Plan 1": (460, 280, 400, 420),
        "GLM-Image Plan 2": (460, 800, 400, 420),
        "GLM-Image Plan Preview (plan 1)": (940, 460, 320, 320),
        "GLM-Image Plan Preview (plan 2)": (940, 1060, 320, 320),
        "GLM-Image Crop Plan": (940, 860, 320, 130),
        "GLM-Image Compose Plans": (1340, 280, 320, 130),
        "GLM-Image Plan Preview (both)": (1740, 640, 320, 320),
        "GLM-Image Conditioning": (1740, 140, 320, 86),
        "Empty GLM-Image Latent": (1740, 440, 320, 106),
        "ModelSamplingGLMImage": (2140, 0, 280, 46),
        "KSampler": (2500, 300, 300, 262),
        "VAE Decode": (2880, 1460, 220, 46),
        "Save Image": (3180, 760, 400, 400),
    },
    "draft_choose_finish": {
        "Load GLM-Image Planner": (0, 660, 380, 60),
        "Load GLM-Image Glyph Encoder": (1040, 800, 320, 82),
        "Load GLM-Image Diffusion Model": (1440, 700, 320, 82),
        "Load GLM-Image VAE": (2600, 700, 300, 60),
        "GLM-Image Draft Plan": (460, 60, 400, 400),
        "Finish all drafts (sheet)": (1040, 480, 320, 130),
        "GLM-Image Conditioning (sheet)": (1440, 460, 320, 86),
        "Empty GLM-Image Latent (sheet)": (1440, 240, 320, 106),
        "ModelSamplingGLMImage (sheet)": (1840, 560, 280, 46),
        "KSampler (sheet)": (2240, 240, 300, 262),
        "VAE Decode (sheet)": (2980, 560, 220, 46),
        "Contact sheet": (3280, 60, 500, 480),
        "GLM-Image Select Plan": (1040, 1240, 320, 82),
        "GLM-Image Finish Plan": (1440, 1120, 320, 130),
        "GLM-Image Conditioning": (1840, 1000, 320, 86),
        "Empty GLM-Image Latent": (1840, 1240, 320, 106),
        "ModelSamplingGLMImage": (2240, 920, 280, 46),
        "KSampler": (2600, 1000, 300, 262),
        "VAE Decode": (2980, 960, 220, 46),
        "Save Image": (3280, 960, 500, 480),
    },
}
NOTES = {}
GROUPS = {}
