"""Prompts and what the check must say of them, written before the check was.

A row: the prompt, the texts that are written in the image in their order, and the findings in the order of the prompt.
A finding: its kind, and the part of the prompt at which it starts.
"""

Row = tuple[str, list[str], list[tuple[str, str]]]

CLEAN_ENGLISH: list[Row] = [(prompt, texts, []) for prompt, texts in [
    ("", []),
    ("a red fox in the snow", []),
    ('a sign that says "OPEN" over a door', ["OPEN"]),
    ("a girl reading a book under a tree", []),
    ("it's a dog that doesn't bark", []),
    ("the dogs' bowl and cats' bed", []),
    ('a 24" monitor that shows "HI"', ["HI"]),
    ("rock 'n' roll poster, \"LIVE\" at the top", ["LIVE"]),
    ('A blue poster. At the top left, "OPEN" in white letters. At the bottom right, an orange square.', ["OPEN"]),
    ("a poster without text, watercolour", []),
    ("no text, no watermark, a quiet lake", []),
    ('a neon sign in the window reads, in pink cursive letters, "Open Late"', ["Open Late"]),
    ('"HAPPY BIRTHDAY" written on a cake in blue icing', ["HAPPY BIRTHDAY"]),
    ("a wizard casts spells in a tower", []),
    ("a man reads a newspaper at breakfast", []),
    ("a labelled diagram of a plant cell, textbook style", []),
    ("a stack of letters tied with a ribbon, handwritten text on old paper", []),
    ("a speech bubble that reads, “Did you hide the nuts?”", ["Did you hide the nuts?"]),
    ("a road sign at a crossroads in fog", []),
    ("'OPEN' and 'CLOSED' signs side by side", ["OPEN", "CLOSED"]),
    ("a book cover titled “The Long Road”, the author's name “A. Smith” at the bottom", ["The Long Road", "A. Smith"]),
    ('Change the word at the top to "OPEN".', ["OPEN"]),
    ("Make the word at the bottom left white.", []),
    ("Remove the text from the sign.", []),
    ("a chalkboard full of equations", []),
    ("the queen says goodbye to her knights", []),
    ("reading glasses on a letter from her mother", []),
    ("a title character of a fairy tale, seen from below", []),
    ("the words are carved in stone, moss grows over them", []),
    ('The footer bar has three icons labelled "Wash", "Dry" and "Fold".', ["Wash", "Dry", "Fold"]),
    ('a menu board with the headline "Soup of the Day" and the words "fresh and hot" below', ["Soup of the Day",
                                                                                         "fresh and hot"]),
    ("a ‘don’t panic’ mug", ["don’t panic"]),
]]

CLEAN_CHINESE: list[Row] = [(prompt, texts, []) for prompt, texts in [
    ("一只猫坐在窗台上", []),
    ("招牌上写着“营业中”", ["营业中"]),
    ("黄色海报。顶部，红色宋体的“春天”。左下角，蓝色圆形。", ["春天"]),
    ("小女孩在桌前写着作业", []),
    ("一本《红楼梦》放在木桌上", []),
    ("标题为“《新年》”的海报", ["《新年》"]),
    ("写着'你好'的红纸和\"世界\"", ["你好", "世界"]),
    ("印着花朵图案的裙子", []),
    ("黑板上写着密密麻麻的公式", []),
    ("画面中没有文字，留白，水墨风格", []),
    ("看板『営業中』、昭和の街並み", ["営業中"]),
    ("屏幕上显示着一张地图", []),
    ("一台27\"显示器，屏幕上写着\"你好\"", ["你好"]),
    ("刻着龙纹的玉佩", []),
    ("标题文字居中，字体为黑体：“夏日特惠”", ["夏日特惠"]),
    ("横幅上用金色大字写着「欢迎回家」", ["欢迎回家"]),
    ("老人在宣纸上写着书法", []),
    ("显示屏上写着：“今日特价 20 元”", ["今日特价 20 元"]),
    ("海报，大标题“垃圾分类”，副标题“从我做起”", ["垃圾分类", "从我做起"]),
    ("“福”字贴在门上", ["福"]),
    ("杯子上印有“加油”字样", ["加油"]),
    ("去掉招牌上的文字", []),
]]

UNQUOTED: list[Row] = [
    ("a sign saying hello", [], [("unquoted", "saying hello")]),
    ("a shop sign that says Open", [], [("unquoted", "says Open")]),
    ("a neon sign that reads OPEN 24 HOURS", [], [("unquoted", "reads OPEN")]),
    ("a T-shirt with the text Hello World", [], [("unquoted", "text Hello")]),
    ("a mug with the words best dad ever", [], [("unquoted", "words best")]),
    ("a book titled The Long Road", [], [("unquoted", "titled The")]),
    ("a placard reading no more war, a crowd in the street", [], [("unquoted", "reading no")]),
    ("a cake with Happy Birthday written on it", [], [("unquoted", "Happy Birthday written")]),
    ("balloons spelling out LOVE above a table", [], [("unquoted", "spelling out")]),
    ("Title: Summer Sale. A beach with palm trees.", [], [("unquoted", "Title:")]),
    ("a jar labelled Poison on a shelf", [], [("unquoted", "labelled Poison")]),
    ('a sign saying hello. Below it, a tag "SALE".', ["SALE"], [("unquoted", "saying hello")]),
    ("a poster with the headline Fresh Bread and the caption 'since 1920'", ["since 1920"],
     [("unquoted", "headline Fresh")]),
    ("a license plate that says CATS4EVR", [], [("unquoted", "says CATS4EVR")]),
    ("a tattoo of the word mother on his arm", [], [("unquoted", "word mother")]),
    ("a banner saying *WELCOME*", [], [("unquoted", "saying *WELCOME*")]),
    ("two signs: one sign says stop, the other sign says go", [], [("unquoted", "says stop"), ("unquoted", "says go")]),
    ("Change the text to Closed.", [], [("unquoted", "text to Closed")]),
    ("写着你好的招牌", [], [("unquoted", "写着你好")]),
    ("招牌上写着营业中", [], [("unquoted", "写着营业中")]),
    ("海报标题为新年快乐，红色背景", [], [("unquoted", "标题为")]),
    ("横幅上有欢迎回家四个大字", [], [("unquoted", "四个大字")]),
    ("T恤上印着NASA", [], [("unquoted", "印着NASA")]),
    ("杯子上印有加油字样", [], [("unquoted", "印有加油")]),
    ("标题：夏日特惠\n副标题：全场五折", [], [("unquoted", "标题：夏日"), ("unquoted", "副标题：全场")]),
    ("文字内容：欢迎光临", [], [("unquoted", "文字内容：")]),
    ("路牌上写着WUKANG ROAD", [], [("unquoted", "写着WUKANG")]),
    ("气泡里写着快跑！旁边是“轰”", ["轰"], [("unquoted", "写着快跑")]),
    ("门上的红纸写着福字", [], [("unquoted", "写着福字")]),
    ("把招牌上的字改成打烊", [], [("unquoted", "字改成打烊")]),
]

MARKS: list[Row] = [
    ('a sign that says "OPEN', [], [("unpaired", '"OPEN')]),
    ("a sign “OPEN on a wall", [], [("unpaired", "“OPEN")]),
    ("unbalanced 'x' and 'y", ["x"], [("unpaired", "'y")]),
    ('a sign “OPEN" on a wall', [], [("mixed", "“OPEN")]),
    ("a sign ‘OPEN' on a wall", [], [("mixed", "‘OPEN")]),
    ("a sign saying `OPEN`", [], [("not marks", "`OPEN`")]),
    ("a sign that says ``OPEN''", [], [("not marks", "``OPEN")]),
    ("a board with ❝Soup of the Day❞", [], [("not marks", "❝Soup")]),
    ("a sign that says &quot;OPEN&quot;", [], [("not marks", "&quot;OPEN")]),
    ("a sign that says <<OPEN>>", [], [("not marks", "<<OPEN")]),
    ('a sign that says \\"OPEN\\"', ["OPEN\\"], [("backslash", '"OPEN')]),
    ('a sign that says ""', [""], [("empty", '""')]),
    ('a sign that says " "', [" "], [("empty", '" "')]),
    ('mix “a "b" c”', ['a "b" c', "b"], [("nested", '"b"')]),
    ("\"OPEN\" above and 'CLOSED' below", ["CLOSED", "OPEN"], [("order", '"OPEN"')]),
    ("标题《新年》，红色海报", [], [("not marks", "《新年》")]),
    ("写着《静夜思》的扇子", [], [("not marks", "《静夜思》")]),
    ("写着【欢迎】的门牌", [], [("not marks", "【欢迎】")]),
    ("招牌写着﹁营业中﹂", [], [("not marks", "﹁营业中﹂")]),
    ("看板に｢営業中｣と書いてある", [], [("not marks", "｢営業中｣")]),
    ("招牌「营业中", [], [("unpaired", "「营业中")]),
    ("写着“你好的红纸", [], [("unpaired", "“你好")]),
    ("写着“你好\"的红纸", [], [("mixed", "“你好")]),
    ("「外『内』」", ["外『内』", "内"], [("nested", "『内』")]),
    ("墙上刻着“”二字", [""], [("empty", "“”")]),
    ("先写“上”，再写'下'", ["下", "上"], [("order", "“上”")]),
    ("招牌“营业中，门口有“欢迎”", ["欢迎"], [("unpaired", "“营业中")]),
    ('a sign “OPEN" or "SHUT"', [" or "], [("unpaired", "“OPEN"), ("blanks", '" or "'), ("unpaired", '"')]),
]

FOUR_LINES = "Every morning the baker lights the old stone oven, kneads the dough and waits. " * 4
SEVENTEEN = [f"WORD {number}" for number in range(17)]
TEN_SENTENCES = [f"Line {number} of a poem that is neither short nor very long, but sound" for number in range(10)]
CHINESE_PAGE = "春天来了小草从地里钻出来花儿都开了燕子飞回来了" * 5

ADVICE: list[Row] = [
    (f'a page that reads "{FOUR_LINES}"', [FOUR_LINES], [("long", '"Every')]),
    (f'a page that reads "{FOUR_LINES * 10}"', [FOUR_LINES * 10], [("cut", '"Every')]),
    ("a board with " + ", ".join(f'"{text}"' for text in SEVENTEEN), SEVENTEEN, [("many", '"WORD 16"')]),
    ("a board with " + ", ".join(f'"{text}"' for text in SEVENTEEN[:16]), SEVENTEEN[:16], []),
    ("a page with " + ", ".join(f'"{text}"' for text in TEN_SENTENCES), TEN_SENTENCES, [("total", '"Line 7')]),
    ("a page with " + ", ".join(f'"{text}"' for text in TEN_SENTENCES[:7]), TEN_SENTENCES[:7], []),
    (f"书页上写着“{CHINESE_PAGE}”", [CHINESE_PAGE], [("long", "“春天")]),
    (f"书页上写着“{CHINESE_PAGE[:80]}”", [CHINESE_PAGE[:80]], []),
]

REFERENCE_RULE: list[Row] = [
    ('a sign "OPEN"', ["OPEN"], []),
    ("it's a dog that doesn't bark", ["s a dog that doesn"], [("prose", "'s a dog")]),
    ("it's a 'cat'", ["s a "], [("prose", "'s a"), ("other rule", "'cat'")]),
    ("a ‘SALE’ sign", [], [("other rule", "‘SALE’")]),
    ("看板『営業中』", [], [("other rule", "『営業中』")]),
    ("a sign that says \"OPEN", [], [("unpaired", '"OPEN')]),
    ("招牌上写着“营业中”", ["营业中"], []),
]

REWRITTEN: list[tuple[str, str, list[str]]] = [  # the prompt before, the prompt after, the texts that were lost
    ('a sign "OPEN"', "At dusk, a wooden sign that reads “OPEN” hangs over a door.", []),
    ('a sign "OPEN"', 'At dusk, a wooden sign that reads "Open" hangs over a door.', ["OPEN"]),
    ('"OPEN" and "24 HOURS"', "A sign with “OPEN” on it.", ["24 HOURS"]),
    ('"GO GO" and "GO GO"', "A flag with “GO GO” on it.", ["GO GO"]),
    ("a fox", 'A fox under a sign that reads "FOX".', []),
    ("招牌“营业中”", "黄昏的街角，木制招牌上写着「营业中」。", []),
    ("招牌“营业中”", "黄昏的街角，木制招牌上写着“营業中”。", ["营业中"]),
]

ALL = [*CLEAN_ENGLISH, *CLEAN_CHINESE, *UNQUOTED, *MARKS, *ADVICE]
