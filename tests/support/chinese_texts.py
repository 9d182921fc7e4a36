"""Whether a text for Chinese readers has English in it that is not the name of a thing."""

import re

NAMES = """
    ComfyUI GLM-Image GLM-Image-RL ByT5 LongText-Bench diffusers ai-toolkit musubi-tuner OneTrainer SimpleTuner LyCORIS
    PEFT SDNQ AutoRound bitsandbytes rapidocr onnxruntime DynamicVRAM Python NVIDIA AMD Mac safetensors
    CFG CFG引导器 CLIP CLIP文本编码 CLIP保存 VAE VAE解码 VAE编码 保存VAE 保存Checkpoint K采样器 K采样器选择 Latent
    参考Latent Sigmas Token token Transformer top_p top_k LoRA LoHa LoKr DoRA PiSSA OLoRA CorDA LoftQ LoRA加载器 LLM OCR
    zai-org plans simple API CPU CUDA alpha bfloat16 float32 fp8 fp16 PNG png Alt Esc R Shift Tab I O N X Y i
""".split()
KNOWN = set(re.findall(r"[A-Za-z][A-Za-z0-9_-]*", " ".join(NAMES)))
LITERAL = re.compile(r"```.*?```|``.*?``|`[^`]*`|\]\([^)]*\)|\d+ ?x ?\d+|models/\w+|embedded \(demo\)", re.DOTALL)
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def english_words(text: str) -> list[str]:
    """The words in Latin letters, without names, code, addresses and sizes such as 32x32."""
    return [word for word in WORD.findall(LITERAL.sub(" ", text)) if word not in KNOWN]
