"""Whether a text for Chinese readers has English in it that is not the name of a thing."""

import re

WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
NAMES = set(WORD.findall("""
    ComfyUI GLM-Image GLM-Image-RL zai-org ByT5 LongText-Bench Python NVIDIA AMD Mac CPU CUDA DynamicVRAM API LLM OCR
    Windows PowerShell Hugging Face
    diffusers ai-toolkit musubi-tuner OneTrainer SimpleTuner LyCORIS PEFT SDNQ AutoRound bitsandbytes rapidocr
    onnxruntime LoRA LoHa LoKr DoRA PiSSA OLoRA CorDA LoftQ alpha Transformer token Token top_p top_k CFG CLIP VAE
    Latent Sigmas K Checkpoint simple bfloat16 float32 fp16 fp8 fp8_e4m3fn fp8_e4m3fn_fast fp8_e5m2 safetensors png PNG
    plans Alt Esc Shift Tab R I O N X Y i
"""))
LITERAL = re.compile(r"```.*?```|``.*?``|`[^`]*`|\]\([^)]*\)|\d+ ?x ?\d+|models/\w+|embedded \(demo\)"
                     r"|\(Hugging Face cache\)|[\w/.-]+\.(?:safetensors|png)( \[output\])?", re.DOTALL)


def english_words(text: str) -> list[str]:
    """The words in Latin letters, without names, code, addresses, files, and sizes such as 32x32."""
    return [word for word in WORD.findall(LITERAL.sub(" ", text)) if word not in NAMES]
