"""What to ask a language model for, so that it enriches a prompt and leaves its quoted texts alone.

The rules follow those of zai-org/GLM-Image, examples/prompt_utils.py, in words of our own. New here: quoted texts are
copied, listed once more, and none are added unless the prompt asks for text.
"""

import re

from ..errors import check_text
from .quotes import NATURAL, read_quotations

ENGLISH = """\
Rewrite the image description at the end so that an image model can draw it better.

- Text in quotation marks will be written in the image. Copy each quoted text exactly, with its capitals, punctuation \
and line breaks, as often as it occurs. Do not translate, correct, shorten or extend it.
- Put nothing else in quotation marks. If the description asks for text but does not say which, make up a short one \
and put it in double quotation marks. Otherwise add no text.
- Say for each text where it is (for instance top headline, centre, footer bar), what it is on, and what it looks \
like: lettering, size, colour, printed or painted or glowing.
- Keep names, brands, titles, web addresses and numbers as they are.
- Name the style of the whole image, such as photograph, watercolour, 3D rendering or flat poster.
- If little is said, add surroundings, light, materials and composition that fit. If much is said, only make it read \
well. Contradict nothing.
- If a person is the subject, describe age, face, hair, clothes, posture and gaze, in about 150 words in all. If \
things or places are, say what is in front and behind, where the light comes from, and which colours dominate.
- Write one paragraph in plain sentences, in the language of the description. No lists, headings or comments: answer \
with the new description alone.
"""
ENGLISH_TEXTS, ENGLISH_PROMPT = "\nQuoted texts to copy:\n", "\nDescription:\n"

CHINESE = """\
请改写文末的画面描述，让图像模型更容易画好。

- 引号中的文字会写进画面。每段带引号的文字都要原样照抄，大小写、标点和换行不变，出现几次就写几次；不翻译、不纠错、\
不删减、不扩写。
- 其他内容一律不用引号。如果描述要求有文字却没有给出内容，就拟一句简短的文字，并用双引号标出；否则不要添加文字。
- 说明每段文字的位置（例如顶部大标题、正中、页脚栏）、写在什么东西上，以及字体、大小、颜色和印刷、手绘、发光等呈现方式。
- 人名、品牌、作品名、网址和数字保持原样。
- 写明整体风格，例如摄影、水彩、三维渲染、平面海报。
- 描述过于简单时，补充相符的环境、光线、材质和构图；已经详细时，只把语句理顺。不得与原意矛盾。
- 以人物为主时，写出年龄、面容、发型、服装、姿态和视线，全文约二百字。以景物为主时，写清前后层次、光源方向和主要色彩。
- 只写一段通顺的中文，不用列表和标题，不作解释，只输出改写后的描述。
"""
CHINESE_TEXTS, CHINESE_PROMPT = "\n须照抄的文字：\n", "\n描述：\n"

HAN, LATIN_WORD = re.compile("[\u4e00-\u9fff]"), re.compile("[A-Za-z]+")


def rewrite_instructions(prompt: str, rules: str = NATURAL) -> str:
    """Instructions for a language model, in the language of the prompt, with the prompt at the end.

    rules: as in ``quoted_texts``. Raises GLMImageError on other rules, and on text with unpaired surrogates.
    """
    check_text("prompt", prompt)
    quotations = sorted(read_quotations(prompt, rules).quotations)
    listed = "".join(f"{prompt[quotation.opened : quotation.closed + 1]}\n" for quotation in quotations)
    instructions, texts, heading = ((CHINESE, CHINESE_TEXTS, CHINESE_PROMPT) if is_chinese(prompt)
                                    else (ENGLISH, ENGLISH_TEXTS, ENGLISH_PROMPT))
    return instructions + (texts + listed if listed else "") + heading + prompt


def is_chinese(prompt: str) -> bool:
    """Whether it has more Chinese characters than Latin words."""
    return len(HAN.findall(prompt)) > len(LATIN_WORD.findall(prompt))
