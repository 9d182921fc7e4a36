"""Where a prompt asks for text to be written without putting it in quotation marks, in English and in Chinese.

The patterns are meant to miss a request rather than to take a description for one.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

QUOTED = "\ufffc"  # stands for every character of a quotation, see ``hide``
REACH = 100  # characters after a request in which its quoted text must begin

ANY = r"[^\s\ufffc,.;:!?)]"  # a text may begin with it

# English: nouns
SIGNS = (r"signs?|signboards?|placards?|banners?|posters?|billboards?|marquee|labels?|stickers?|badges?|plaques?|"
         r"plates?|t-?shirts?|shirts?|mugs?|caps?|cards?|notes?|tags?|tattoos?|graffiti|neon|headlines?|titles?|"
         r"subtitles?|headings?|captions?|slogans?|taglines?|letters|lettering|words?|text|bubbles?|messages?|"
         r"inscriptions?|tombstones?|panels?|text box|text boxes")
OBJECTS = (r"board|blackboard|chalkboard|whiteboard|screen|display|monitor|cake|window|wall|door|box|bottle|can|jar|"
           r"cover|page|book|scroll|flag|mat|doormat|hat|hoodie|jersey|envelope|postcard|menu|building|storefront")
CONTAINERS = "jars?|bottles?|box|boxes|cans?|tins?|tubes?|folders?|doors?|buttons?|drawers?|bins?|bags?|sacks?|crates?"
SPELLERS = "letters|balloons|lights|candles|tiles|blocks|beads|cookies|flowers|pebbles|stones|neon"
FIELDS = "title|subtitle|headline|heading|caption|slogan|tagline|motto|text|footer text|button text|sign text"
WORDINGS = "words?|phrase|slogan|motto|text|inscription"
TITLES = "title|subtitle|headline|heading|caption|tagline|quote|message"
LANGUAGES = ("English|Chinese|French|German|Spanish|Italian|Portuguese|Russian|Japanese|Korean|Arabic|Hebrew|Hindi|"
             "Greek|Latin|Thai")
NO_NAME = LANGUAGES + "|In|On|At|I|3D|2D|4K|8K|HD|HDR|LED|PNG|SVG|UI|AI"  # capitals that begin no text
# English: what stands between noun and verb, and what may not stand where the text would
UP_TO_FIVE_WORDS = r"(?:\s+(?!(?:man|woman|girl|boy|person|people|child|kid|and|who)\b)[\w'’-]+){0,5}?"
WHICH = r"(?:\s+(?:that|which))?(?:\s+\w+ly)?"
NOT_SAID = "in|on|with|at|by|so|something|nothing|anything|it|what|as"
NOT_READ = NOT_SAID + ("|a|an|the|his|her|their|my|its|some|books?|glasses|lamp|room|nook|chair|light|lists?|poetry|"
                       "newspapers?|stories|comics|magazines|manga|maps?|quietly|aloud|silently|to|for|under|from|"
                       "while|and|or")
NOT_WORDED = (r"is|are|was|were|be|being|in|on|at|of|from|to|that|which|who|with|and|or|but|for|as|by|into|over|under|"
              r"above|below|behind|beside|around|across|along|written|made|carved|none|no|not|\w{3,}(?:ing|ed)")
NOT_A_FIELD = "bold|large|big|small|centred|centered|white|black|red|gold|golden|sans|serif|none|no|n/a|at|in"
NOT_TITLED = "in|with|as|by|and|to|for|on"
CAPITALS = r"[A-Z][\w'’&!]*(?:\s+[A-Z0-9][\w'’&!]*){0,5}"
BLOCK_CAPITALS = r"[A-Z][A-Z0-9!&']+(?: [A-Z0-9!&']+){0,5}"

ENGLISH = (  # "at" is where the request begins
    # a sign by the road that clearly says hello
    rf"(?i:\b(?:{SIGNS})\b{UP_TO_FIVE_WORDS},?{WHICH})\s+"
    rf"(?P<at>(?i:says?|saying|reads?)\s*:?\s+(?!(?i:{NOT_SAID})\b){ANY})",
    # a placard reading no more war
    rf"(?i:\b(?:{SIGNS})\b{UP_TO_FIVE_WORDS})\s+(?P<at>reading\s*:?\s+(?!(?i:{NOT_READ})\b){ANY})",
    # a cake that says happy birthday
    rf"(?i:\b(?:{OBJECTS})\b{UP_TO_FIVE_WORDS}\s+(?:that|which)(?:\s+\w+ly)?)\s+"
    rf"(?P<at>(?:says?|reads?)\s*:?\s+(?!(?:{NOT_READ})\b){ANY})",
    # bold letters announce: Urban Shadow
    rf"(?i:\b(?:{SIGNS})\b{UP_TO_FIVE_WORDS}{WHICH})\s+(?P<at>(?i:display(?:s|ing)|stat(?:es|ing)|declar(?:es?|ing)|"
    rf"announc(?:es?|ing)|proclaim(?:s|ing)?|shout(?:s|ing))\s*[:,]?\s+(?!(?:{NO_NAME})\b)[A-Z0-9])",
    # a post can be seen, reading: travel far
    rf"\b(?P<at>(?:reading|reads|says|saying|stating|states):\s+{ANY})",
    # a mug with the words best dad ever
    r"(?i:\b(?:with|of|say|says|saying|reads?|shows?|showing|bearing|displaying|featuring|containing|has|have|write|"
    rf"add|spells|spelling)\s+the\s+)(?P<at>(?:{WORDINGS})\s+(?!(?:{NOT_WORDED})\b){ANY})",
    # with text Hello World; the headline Fresh Bread
    rf"\b(?P<at>(?:{WORDINGS}|{TITLES})\s+(?!(?:{NO_NAME})\b)[A-Z0-9])",
    # the letter A
    r"\b(?P<at>letters?\s+(?![IA]\s+[a-z])[A-Z0-9]+\b)(?!['’])",
    # Title: Summer Sale
    rf"(?i:(?:^|(?<=[.;,\n(])|(?<=[.;,\n(] ))(?P<at>(?:{FIELDS})\s*[:=]\s*(?!(?:{NOT_A_FIELD})\b){ANY}))",
    # text at the bottom: Summer Sale
    rf"(?P<at>(?i:\b(?:{FIELDS})\s*:\s+(?!(?:{NOT_A_FIELD})\b))[A-Z0-9])",
    # a book titled The Long Road; clearly labelled Poison
    rf"\b(?P<at>titled\s+(?!(?:{NOT_TITLED})\b){ANY}|(?:entitled|captioned|labell?ed(?:\s+as)?)\s+[A-Z0-9])",
    # a jar labelled poison
    rf"\b(?:{CONTAINERS})\s+(?P<at>labell?ed\s+(?!(?:{NOT_TITLED})\b){ANY})",
    # balloons spelling love; spelling out LOVE
    rf"\b(?:{SPELLERS})\s+(?:that\s+)?(?P<at>spell(?:ing)?\s+(?!(?:out|the)\b){ANY})",
    rf"\b(?P<at>spell(?:s|ing)?\s+out\s+(?!(?:the|a|its?|their|in)\b){ANY})",
    # engraved with Forever
    r"\b(?P<at>(?:inscribed|emblazoned|engraved)\s+with\s+(?!The\b)[A-Z])",
    # Happy Birthday written on it; NASA printed on the helmet
    rf"(?<=[a-z,] )(?P<at>(?!(?:{LANGUAGES})\b){CAPITALS}\s+(?:is\s+|are\s+)?(?:written|lettered|inscribed|scrawled)\s+"
    r"(?:on|across|in|over|above|below|onto|along|at|under))",
    rf"\b(?P<at>{BLOCK_CAPITALS}\s+(?:is\s+)?(?:written|printed|painted|engraved|embroidered|stamped)\s+"
    r"(?:on|across|onto))",
    # Change the text to Closed
    rf"(?i:\b(?:change|replace|update|edit)\b[^.!?;\n]{{0,40}}?)\b(?P<at>(?:{WORDINGS}|{TITLES}|lettering|label|sign)\b"
    rf"[^.!?;\n\ufffc]{{0,40}}?\b(?:to|with|into)\s+(?:(?:say|read)\s+[^\s\ufffc]|(?!(?:{NO_NAME})\b)[A-Z]))",
)

TEXT = r"[^\s\ufffc，。！？；、：:“”\"']"  # as ANY
# Chinese: verbs and nouns
WRITES = "(?<![正在])(?:书写着|题写着|写着|写有|写上|写道|题着|题有)"
NOTES = "标注着|标注为|注明|写明|宣告着"
PRINTS = "印着|印有|刻着|刻有|绣着|绣有|标着|标有|喷着|贴着|显示着|展示着"
LABELS = ("主标题|大标题|副标题|小标题|标题|文案|标语|口号|书名|片名|店名|题目|落款|台词|文字内容|文字|内容|字幕|"
          "广告语|宣传语|粗体字|大字")
SAYS = "写着|为|是|叫|显示|写道|宣布|宣称"
CHANGES = "改成|改为|换成|替换为|变成|变为"
NUMBER = "[一二两三四五六七八九十几]"
LOGO = "标志|商标|图案|logo|Logo|LOGO"
# Chinese: what may not stand where the text would: what is written without being told, and how it looks
UNTOLD = (r"[^，。！？；\n]{0,10}?(?:作业|书信|情书|日记|书法|公式|文字|诗|文章|论文|小说|代码|笔记|经文|咒语|符文|"
          r"符号|名字|数字|字母|春联|对联|歌词|乐谱|剧本|故事|计划|方程|密密麻麻|什么|东西|字迹|标语|口号|祝福)|信(?!息)|"
          rf"(?:[大小汉]|毛笔|一?些|{NUMBER}个[大小]?)?字(?!样)")
LOOKS = (r"[红橙黄绿蓝紫黑白金银灰粉棕彩]色|[黑宋楷隶仿草行][体书]|[大小]号|居中|无|没有|英文|中文|日文|加粗|艺术字|"
         rf"手写|竖排|横排|[^，。！？；：\n]{{0,6}}(?:文字|字体|{NUMBER}个[大小]?字)")

CHINESE = (
    # 招牌上写着营业中
    rf"(?P<at>{WRITES}\s*[：:]?\s*(?!{UNTOLD}){TEXT})",
    # 标签上注明易碎品
    rf"(?P<at>(?:{NOTES})\s*[：:]?\s*(?!{UNTOLD}|[其了各每所]|[^，。！？；\n]{{0,8}}(?:位置|方向|价格|日期|距离|尺寸|名称|"
    rf"时间|信息|来源)){TEXT})",
    # 标题为新年快乐
    rf"(?P<at>(?:{LABELS})(?:{SAYS})?[：:]\s*(?!{LOOKS}){TEXT}|(?!内容)(?:{LABELS})(?:{SAYS})(?!{LOOKS}|[这那该其了]){TEXT})",
    # 欢迎回家四个大字
    rf"[^\s\ufffc，。！？；、：:写着有”」』》\"'](?P<at>{NUMBER}个[大小金红黑白醒目烫色的]{{0,5}}字(?![母数]))",
    # 印有加油字样
    rf"(?P<at>(?:{PRINTS}|写)\s*[^\ufffc，。！？；\n]{{1,12}}?(?:字样|的字(?!体)|几个字|的文字))",
    # T恤上印着NASA
    rf"(?P<at>(?:{PRINTS})\s*(?:[A-Z]{{2,}}|[A-Z][a-z]+)(?!\w*\s*(?:{LOGO})))",
    # 把招牌上的字改成打烊
    rf"(?P<at>(?:字|文字|单词|标题|标语|文案|店名)[^\ufffc，。！？；\n]{{0,6}}?(?:{CHANGES})(?!{LOOKS}){TEXT})",
)
PATTERNS = [re.compile(pattern, re.MULTILINE) for pattern in (*ENGLISH, *CHINESE)]
# Where the sentence ends in which a request must be answered, or a quotation follows that belongs to another noun
END = re.compile(rf"[.!?;](?=\s|$)|[。！？；\n]|\band\s+(?:the\s+|an?\s+)?(?:{WORDINGS}|{TITLES})\s*:?\s*{QUOTED}|"
                 rf"(?:{WRITES}|{LABELS})[为是：:]?\s*{QUOTED}")
BEFORE_BRACKET = re.compile(rf"(?:{WRITES}|{PRINTS}|(?:{LABELS})[为是叫]?)\s*[：:]?\s*$")
LONGEST_LEAD = 16  # characters that BEFORE_BRACKET may need


class Request(NamedTuple):
    """start: where the request begins, for instance with "saying". end: where the text that it asks for has begun."""

    start: int
    end: int


def hide(prompt: str, spans: list[tuple[int, int]]) -> str:
    """The prompt with QUOTED instead of every character of these spans, which include their last character."""
    pieces, done = [], 0
    for first, last in sorted(spans):
        pieces += [prompt[done:first], QUOTED * (last + 1 - max(first, done))]
        done = max(done, last + 1)
    return "".join([*pieces, prompt[done:]])


def unquoted_requests(hidden: str) -> list[Request]:
    """The requests for text that no quotation answers, in order. hidden: a prompt without quotations, see ``hide``."""
    requests = list(distinct(sorted(matches(hidden))))
    ends = [*(request.start for request in requests), len(hidden)][1:]
    return [request for request, end in zip(requests, ends, strict=True) if not is_answered(hidden, request, end)]


def matches(hidden: str) -> Iterator[Request]:
    for pattern in PATTERNS:
        for match in pattern.finditer(hidden):
            yield Request(match.start("at"), match.end("at"))


def distinct(requests: list[Request]) -> Iterator[Request]:
    """Without those that begin inside an earlier one: "with the words" matches more than one pattern."""
    end = 0
    for request in requests:
        if request.start >= end:
            yield request
        end = max(end, request.end)


def is_answered(hidden: str, request: Request, until: int) -> bool:
    """Whether a quotation begins in the request's sentence, before the next request."""
    end = END.search(hidden, request.end, request.end + REACH)
    stop = min(until, end.start() if end else request.end + REACH)
    return QUOTED in hidden[request.start : stop]


def asks_for_brackets(prompt: str, start: int) -> bool:
    """Whether what stands before a bracket at ``start`` asks for text, as in 写着《…》."""
    return bool(BEFORE_BRACKET.search(prompt[max(0, start - LONGEST_LEAD) : start]))
