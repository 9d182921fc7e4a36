"""Where the nodes of each shipped workflow stand in the page, the groups around them, and the notes beside them."""

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


# In one row. Above it run the links of diffusion model, glyph encoder and planner, below it those of the VAE.
START = {
    "Load GLM-Image Diffusion Model": (0, 40, 380, 82),
    "Load GLM-Image Glyph Encoder": (0, 200, 380, 82),
    "Load GLM-Image Planner": (0, 360, 380, 60),
    "Load GLM-Image VAE": (0, 1360, 380, 60),
    "GLM-Image Plan (start)": (460, 640, 360, 420),
    "GLM-Image Conditioning (start)": (880, 540, 280, 86),
    "Empty GLM-Image Latent (start)": (880, 720, 280, 106),
    "ModelSamplingGLMImage (start)": (1200, 460, 310, 46),
    "KSampler (start)": (1550, 580, 260, 262),
    "VAE Decode (start)": (1850, 920, 230, 46),
}
LAYOUTS |= {
    "replan_region": {
        "Load GLM-Image Planner": (0, 700, 380, 60),
        "Load GLM-Image Glyph Encoder": (460, 640, 400, 82),
        "Load GLM-Image Diffusion Model": (1360, 570, 320, 82),
        "Load GLM-Image VAE": (2700, 600, 300, 60),
        "GLM-Image Plan (before)": (460, 60, 400, 420),
        "GLM-Image Conditioning (before)": (1360, 60, 320, 86),
        "Empty GLM-Image Latent": (1360, 220, 320, 106),
        "ModelSamplingGLMImage": (1760, 430, 280, 46),
        "KSampler (before)": (2120, 60, 300, 262),
        "VAE Decode (before)": (3160, 420, 220, 46),
        "Preview Image (before)": (3520, 60, 340, 400),
        "GLM-Image Plan Preview": (920, 1260, 320, 480),
        "GLM-Image Replan": (1320, 1160, 400, 440),
        "GLM-Image Conditioning (after)": (1800, 860, 320, 86),
        "Set Latent Noise Mask": (2420, 1100, 280, 46),
        "KSampler (after)": (2780, 860, 300, 262),
        "VAE Decode (after)": (3160, 860, 220, 46),
        "Keep the other pixels": (3540, 1160, 300, 150),
        "Save Image": (3920, 1160, 400, 440),
    },
    "outpaint": START | {
        "Load GLM-Image VAE": (0, 1420, 380, 60),
        "Image to extend": (2180, 960, 300, 300),
        "GLM-Image Tokenize": (2180, 360, 300, 46),
        "GLM-Image Pad Plan": (2560, 480, 300, 150),
        "GLM-Image Fit Image": (2560, 800, 300, 106),
        "GLM-Image Replan": (2940, 270, 400, 440),
        "Pad Image for Outpainting": (2940, 800, 300, 174),
        "GLM-Image Conditioning": (3420, 140, 320, 86),
        "VAE Encode": (3420, 1180, 280, 46),
        "Set Latent Noise Mask": (3800, 720, 280, 46),
        "ModelSamplingGLMImage": (4160, 80, 280, 46),
        "KSampler": (4520, 200, 300, 262),
        "VAE Decode": (4900, 1420, 220, 46),
        "Keep the old pixels": (5200, 720, 300, 150),
        "Save Image": (5580, 640, 400, 400),
    },
    "upscale": START | {
        "Prompt": (0, 190, 380, 120),
        "Load GLM-Image Glyph Encoder": (0, 370, 380, 82),
        "Load GLM-Image Planner": (0, 540, 380, 60),
        "Load GLM-Image VAE": (0, 1540, 380, 60),
        "GLM-Image Plan (start)": (460, 820, 360, 420),
        "GLM-Image Conditioning (start)": (880, 720, 280, 86),
        "Empty GLM-Image Latent (start)": (880, 900, 280, 106),
        "ModelSamplingGLMImage (start)": (1200, 640, 310, 46),
        "KSampler (start)": (1550, 760, 260, 262),
        "VAE Decode (start)": (1850, 1100, 230, 46),
        "Make it small": (2140, 760, 260, 130),
        "Small image": (2460, 940, 260, 260),
        "Enlarge": (2820, 760, 300, 82),
        "GLM-Image Tokenize": (3200, 540, 300, 46),
        "GLM-Image Fit Image": (3580, 760, 300, 106),
        "GLM-Image Conditioning": (3580, 280, 320, 86),
        "VAE Encode": (3960, 1380, 280, 46),
        "ModelSamplingGLMImage": (4360, 80, 280, 46),
        "KSampler": (4720, 380, 300, 262),
        "VAE Decode": (5100, 1540, 220, 46),
        "Save Image": (5400, 780, 400, 400),
    },
    "style_transfer": START | {
        "Load GLM-Image Planner": (0, 1160, 380, 60),
        "Load GLM-Image VAE": (0, 1560, 380, 60),
        "VAE Decode (start)": (1850, 860, 230, 46),
        "Image to restyle": (2180, 560, 300, 300),
        "GLM-Image Reference": (2180, 940, 300, 118),
        "GLM-Image Plan": (2560, 1080, 400, 420),
        "GLM-Image Conditioning": (3040, 380, 320, 86),
        "Empty GLM-Image Latent": (3040, 1080, 320, 106),
        "ModelSamplingGLMImage": (3440, 240, 280, 46),
        "KSampler": (3800, 500, 300, 262),
        "VAE Decode": (4180, 1560, 220, 46),
        "Save Image": (4480, 980, 400, 400),
    },
    "compose_two_plans": {
        "Load GLM-Image Diffusion Model": (0, 40, 380, 82),
        "Load GLM-Image Glyph Encoder": (0, 200, 380, 82),
        "Load GLM-Image Planner": (0, 1400, 340, 60),
        "GLM-Image Plan 1": (460, 360, 400, 420),
        "GLM-Image Plan 2": (460, 880, 400, 420),
        "GLM-Image Plan Preview (plan 2)": (940, 1380, 320, 480),
        "GLM-Image Compose Plans": (1360, 860, 320, 130),
        "GLM-Image Conditioning": (1760, 200, 320, 86),
        "Empty GLM-Image Latent": (1760, 860, 320, 106),
        "ModelSamplingGLMImage": (2160, 40, 280, 46),
        "KSampler": (2520, 500, 300, 262),
        "Load GLM-Image VAE": (2520, 860, 300, 60),
        "VAE Decode": (2900, 500, 220, 46),
        "Save Image": (3200, 500, 400, 440),
    },
    "draft_choose_finish": {
        "Load GLM-Image Planner": (0, 660, 380, 60),
        "Load GLM-Image Glyph Encoder": (1040, 790, 320, 82),
        "Load GLM-Image Diffusion Model": (1440, 700, 320, 82),
        "Load GLM-Image VAE": (2600, 700, 300, 60),
        "GLM-Image Draft Plan": (460, 60, 400, 400),
        "Finish all drafts (sheet)": (1040, 480, 320, 130),
        "GLM-Image Conditioning (sheet)": (1440, 460, 320, 86),
        "Empty GLM-Image Latent (sheet)": (1440, 240, 320, 106),
        "ModelSamplingGLMImage (sheet)": (1840, 560, 310, 46),
        "KSampler (sheet)": (2240, 240, 300, 262),
        "VAE Decode (sheet)": (2980, 560, 220, 46),
        "Contact sheet": (3280, 60, 600, 540),
        "GLM-Image Select Plan": (1040, 1300, 320, 82),
        "GLM-Image Plan Preview (drafts)": (1040, 1460, 600, 440),
        "GLM-Image Finish Plan": (1440, 1180, 320, 130),
        "GLM-Image Conditioning": (1840, 1060, 320, 86),
        "Empty GLM-Image Latent": (1840, 1300, 320, 106),
        "ModelSamplingGLMImage": (2240, 980, 280, 46),
        "KSampler": (2600, 1060, 300, 262),
        "VAE Decode": (2980, 1020, 220, 46),
        "Save Image": (3280, 1020, 600, 640),
    },
}
LAYOUTS |= {
    "best_of_eight": moved(TEXT_TO_IMAGE, 500) | {
        "GLM-Image Plan": (460, 110, 400, 420),
        "GLM-Image Best Plans": (940, 110, 420, 420),
    },
    "redo_wrong_once": {
        "Load GLM-Image VAE": (0, 0, 380, 60),
        "Load GLM-Image Diffusion Model": (0, 110, 380, 82),
        "Load GLM-Image Glyph Encoder": (0, 250, 380, 82),
        "Load GLM-Image Planner": (0, 1000, 380, 60),
        "Prompt": (0, 1120, 380, 160),
        "GLM-Image Plan": (460, 560, 400, 420),
        "GLM-Image Conditioning": (940, 560, 320, 86),
        "Empty GLM-Image Latent": (940, 720, 320, 106),
        "ModelSamplingGLMImage": (1340, 160, 280, 46),
        "KSampler": (1700, 560, 300, 262),
        "VAE Decode": (2080, 0, 220, 46),
        "GLM-Image Read Text": (2380, 700, 400, 300),
        "GLM-Image Plan (again)": (2380, 1080, 400, 420),
        "GLM-Image Best Plans": (2860, 900, 420, 420),
        "GLM-Image Conditioning (again)": (3360, 640, 320, 86),
        "Empty GLM-Image Latent (again)": (3360, 900, 320, 106),
        "KSampler (again)": (3760, 560, 300, 262),
        "VAE Decode (again)": (4140, 160, 220, 46),
        "GLM-Image Replace Images": (4440, 0, 300, 66),
        "Save Image": (4820, 0, 400, 460),
    },
}
NOTES = {
    "best_of_eight": ((460, 730, 400, 170),
                      "Writes eight plans and draws only the one that the planner itself considers most likely. After "
                      "a run, *GLM-Image Best Plans* shows its ranking."),
    "redo_wrong_once": ((460, 1240, 400, 260),
                        "Draws four images, reads them, and draws again those with a wrong quoted word, from "
                        "the best of eight new plans. If no word is wrong, nothing is planned or drawn again.\n\n"
                        "Reading needs two Python packages. Install them with ComfyUI's Python:\n\n"
                        "    pip install rapidocr onnxruntime"),
    "replan_region": ((0, 60, 380, 280), """\
A part of an image is planned and drawn again. All other pixels stay as they are.

- **Prompt of Replan**: the whole image as it should become.
- **Mask**: the tokens that are selected in *GLM-Image Plan Preview*. Drag over others; Shift adds, Alt removes.
- **Released model**: choose its files in the loaders, and 1024x1024 in *GLM-Image Plan*. Run up to *GLM-Image Plan \
Preview* (select it and click the play button above it), select what is to change, and run the workflow."""),
    "outpaint": ((0, 560, 380, 280), """\
An image is extended beyond its edges: the new part is planned and drawn. The old pixels stay as they are.

- **A photograph**: connect a *Load Image* node to *GLM-Image Tokenize* and *GLM-Image Fit Image*, in place of *VAE \
Decode (start)*, and choose the files of the released model in the loaders. The embedded model knows only posters, so \
one is drawn first.
- **Size of the new part**: the same numbers in *GLM-Image Pad Plan* and *Pad Image for Outpainting*, in pixels, \
multiples of 32.
- **Prompt of Replan**: the whole image as it should become. If a side is longer than the model was trained for \
(embedded: 256 pixels, released: 2048), only what is to be added."""),
    "upscale": ((0, 700, 380, 280), """\
An image is enlarged, read as a plan, and drawn again with denoise 0.4, which gives it new detail. Enlarge images, not \
latents: a plan has one token for every 32x32 pixels, so a larger latent needs another plan.

- **An image of your own**: connect a *Load Image* node to *Enlarge*, in place of *Make it small*, and write its text \
into *Prompt*, in quotation marks.
- **Released model**: choose its files in the loaders. It reads images of up to 2048 pixels a side. To draw and then \
enlarge, bypass *Make it small* (Ctrl+B) and set *Enlarge* to 2.
- **denoise**: the higher, the more is drawn again."""),
    "style_transfer": ((0, 480, 380, 280), """\
The planner reads an image and plans it again in another style. The decoder sees the image too, so that its objects \
stay.

- **Embedded model**: it knows one change of style, the colour of the background.
- **Released model**: choose its files in the loaders, connect a *Load Image* node to *GLM-Image Reference* in place \
of *VAE Decode (start)*, and ask for instance: Turn this image into a watercolour painting and keep its composition.
- **Style of a second image**: chain a second *GLM-Image Reference*, as in the workflow *edit_multi_image*, and ask: \
Draw the first image in the style of the second."""),
    "compose_two_plans": ((0, 380, 380, 280), """\
A part of plan 2 is pasted into plan 1 before anything is drawn.

- **Which part**: the tokens that are selected in *GLM-Image Plan Preview*. Drag over others; Shift adds, Alt \
removes. Take whole objects with a little background.
- **Where**: x and y of *GLM-Image Compose Plans* move the part, in steps of one token, 32 pixels.
- **Text**: the quoted texts of both prompts are drawn.
- To move an object, paste it at another place and fill its old place with *GLM-Image Replan*."""),
    "draft_choose_finish": ((0, 60, 380, 280), """\
Eight layouts to choose from before one image is drawn.

1. Select *Contact sheet* and click the play button above it.
2. Choose one: its number, counted from 0, is *index* of *GLM-Image Select Plan*.
3. Run the workflow.

- **Embedded model**: its drafts say what is where, but draw as blobs. So *Finish all drafts* finishes all of them for \
the contact sheet.
- **Released model**: choose its files in the loaders, 1024x1024 in *GLM-Image Draft Plan*, and bypass *Finish all \
drafts* (Ctrl+B). The sheet then shows the drafts themselves, at half the size."""),
}


def two_groups(name: str, first: str, second: str, *started: str) -> dict[str, list[str]]:
    """Titles of two groups and of their nodes: first ``started``, then all others but what both groups use."""
    others = [title for title in LAYOUTS[name] if title not in started and not title.startswith(("Load ", "Prompt"))]
    return {first: list(started), second: others}


DRAW_START = [title for title in START if title.endswith(" (start)")]
GROUPS = {
    "replan_region": two_groups(
        "replan_region", "1 Draw an image", "2 Plan and draw a part of it again", "GLM-Image Plan (before)",
        "GLM-Image Conditioning (before)", "Empty GLM-Image Latent", "ModelSamplingGLMImage", "KSampler (before)",
        "VAE Decode (before)", "Preview Image (before)"),
    "outpaint": two_groups("outpaint", "1 Draw a poster", "2 Extend it", *DRAW_START),
    "upscale": two_groups("upscale", "1 Draw a poster", "2 Enlarge it and draw it again",
                          *DRAW_START, "Make it small", "Small image"),
    "style_transfer": two_groups("style_transfer", "1 Draw a poster",
                                 "2 Draw it in another style", *DRAW_START),
    "draft_choose_finish": two_groups(
        "draft_choose_finish", "1 Draft eight layouts and look at them", "2 Choose one, finish it, draw it",
        *(title for title in LAYOUTS["draft_choose_finish"] if title.endswith("(sheet)")), "GLM-Image Draft Plan",
        "Contact sheet"),
}
