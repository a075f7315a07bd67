"""Chinese (simplified): time and place before the verb, classifiers, no spaces.

"了" stands after a verb, "没有" negates. Nouns: classifier:noun. Verbs: the bare verb.
"""

from __future__ import annotations

from trainables.pocket.frames import Frame
from trainables.pocket.grammar import Language

WORDS = {
    # people and places
    "anna": "安娜", "boris": "鲍里斯", "clara": "克拉拉", "david": "大卫", "emma": "艾玛", "felix": "菲利克斯",
    "igor": "伊戈尔", "julia": "朱莉娅", "leon": "莱昂", "maria": "玛丽亚", "nina": "尼娜", "omar": "奥马尔",
    "peter": "彼得", "sara": "萨拉", "sofia": "索菲亚", "victoria": "维多利亚",
    "rossi": "罗西", "lee": "李", "shaw": "萧", "kato": "加藤", "mori": "森", "diallo": "迪亚洛",
    "berlin": "柏林", "madrid": "马德里", "moscow": "莫斯科", "istanbul": "伊斯坦布尔", "delhi": "德里",
    "nairobi": "内罗毕", "beijing": "北京", "london": "伦敦", "paris": "巴黎", "rome": "罗马", "cairo": "开罗",
    "lima": "利马", "tokyo": "东京", "new_york": "纽约", "sofia_city": "索菲亚", "victoria_city": "维多利亚",
    "delta": "德尔塔", "orion": "奥利安", "atlas": "阿特拉斯", "nova": "诺瓦", "sigma": "西格玛",
    "bank": "银行", "club": "俱乐部", "university": "大学", "company": "公司",
    # times, numbers, adjectives
    "yesterday": "昨天", "today": "今天", "monday": "星期一", "friday": "星期五", "sunday": "星期天",
    "morning": "早上", "evening": "晚上", "night": "半夜", "summer": "夏天", "winter": "冬天",
    "two": "两", "three": "三", "four": "四",
    "new": "新", "old": "旧", "big": "大", "small": "小", "red": "红色 的", "black": "黑色 的", "white": "白色 的",
    "expensive": "昂贵 的",
    # professions
    "scientist": "科学家", "researcher": "研究员", "engineer": "工程师", "tourist": "游客", "pilot": "飞行员",
    "minister": "部长", "mayor": "市长", "athlete": "运动员", "sportsman": "体育健将", "coach": "教练",
    "doctor": "医生", "physician": "大夫", "nurse": "护士", "singer": "歌手", "actor": "演员", "farmer": "农民",
    "guide": "导游",
    # venues
    "laboratory": "实验室", "factory": "工厂", "airport": "机场", "station": "火车站", "hotel": "酒店",
    "parliament": "议会", "court": "法院", "stadium": "体育场", "gym": "体育馆", "hospital": "医院",
    "pharmacy": "药店", "market": "市场", "theatre": "剧院", "cinema": "电影院", "park": "公园", "zoo": "动物园",
    "village": "村庄",
    # things
    "computer": "台:电脑", "robot": "个:机器人", "telescope": "台:望远镜", "phone": "部:电话", "camera": "台:相机",
    "ticket": "张:车票", "passport": "本:护照", "suitcase": "个:行李箱", "map": "张:地图", "car": "辆:汽车",
    "automobile": "辆:轿车", "bicycle": "辆:自行车", "law": "条:法律", "contract": "份:合同", "letter": "封:信",
    "plan": "个:计划", "report": "份:报告", "ball": "个:球", "medal": "枚:奖牌", "trophy": "个:奖杯",
    "match": "场:比赛", "race": "场:赛跑", "pill": "粒:药丸", "tablet": "粒:药片", "apple": "个:苹果",
    "banana": "根:香蕉", "egg": "个:鸡蛋", "bandage": "卷:绷带", "film": "部:电影", "song": "首:歌", "guitar": "把:吉他",
    "piano": "架:钢琴", "drum": "面:鼓", "river": "条:河", "mountain": "座:山", "island": "座:岛", "lake": "个:湖",
    "forest": "片:森林", "horse": "匹:马", "dog": "条:狗", "bird": "只:鸟", "elephant": "头:大象",
    "device": "台:设备", "vehicle": "辆:车", "document": "份:文件", "fruit": "个:水果", "instrument": "件:乐器",
    "animal": "只:动物",
    # verbs
    "buy": "买", "sell": "卖", "steal": "偷", "lose": "丢", "find": "找到", "discover": "发现", "see": "看见",
    "choose": "选择", "give": "送给", "send": "寄给", "show": "展示给", "build": "建造", "repair": "修理",
    "test": "测试", "carry": "携带", "read": "读", "write": "写", "reject": "拒绝", "win": "赢得", "throw": "扔",
    "catch": "抓住", "eat": "吃", "cook": "煮", "swallow": "吞下", "hear": "听到", "sing": "唱", "cross": "穿过",
    "draw": "画",
}  # fmt: skip

CLASSIFIERS = frozenset(entry.split(":")[0] for entry in WORDS.values() if ":" in entry)
FUNCTION = {
    **dict.fromkeys(CLASSIFIERS, "NOUN"), "一": "NUM", "的": "PART", "了": "AUX", "没有": "ADV", "在": "ADP",
    "和": "CCONJ", "跟": "ADP", "一起": "ADV", "谁": "PRON", "什么": "PRON", "哪里": "PRON", "什么时候": "PRON",
    "·": "PUNCT",
}  # fmt: skip
QUESTION = {
    "agent": "谁", "thing": "什么", "recipient": "谁", "companion": "跟 谁 一起",
    "place": "在 哪里", "time": "什么时候",
}  # fmt: skip


def noun(thing: str, number: str | None = None, adjective: str | None = None, *, negated: bool = False) -> str:
    """Return a noun phrase: "一 张 红色 的 地图", "两 个 球".

    After a negation it has no "一 张".
    """
    classifier, _, word = WORDS[thing].partition(":")
    if number:
        return f"{WORDS[number]}/NUM {classifier} {word}"
    if adjective:
        quality, *particle = WORDS[adjective].split()
        return " ".join([*([] if negated else ["一", classifier]), f"{quality}/ADJ", *particle, word])
    return word if negated else f"一 {classifier} {word}"


def person(ids: str) -> str:
    """Return a name ("安娜 · 罗西") or a profession."""
    return " · ".join(WORDS[i] for i in ids.split())


def place(ids: str) -> str:
    """Return a place phrase: "在 北京", "在 医院", "在 德尔塔 银行"."""
    return "在 " + " ".join(WORDS[i] for i in ids.split())


def phrases(f: Frame) -> dict[str, str]:
    thing = noun(f.thing, f.number, f.adjective, negated=f.negated)
    return {
        "agent": person(f.agent),
        "verb": WORDS[f.verb] + " 了",
        "verb.bare": WORDS[f.verb],
        "thing": f"{thing} 和 {noun(f.other)}" if f.other else thing,
        "recipient": person(f.recipient) if f.recipient else "",
        "companion": f"跟 {person(f.companion)} 一起" if f.companion else "",
        "place": place(f.place) if f.place else "",
        "time": WORDS[f.time] if f.time else "",
    }


CHINESE = Language(
    code="zh",
    mixed=0.4,
    iso3="cmn",
    script="Hani",
    words=WORDS,
    function=FUNCTION,
    orders={
        "statement": "agent time companion place verb recipient thing =。",
        "fronted": "time agent companion place verb recipient thing =。",
        "negated": "agent time companion place =没有 verb.bare recipient thing =。",
        "ask": "agent time companion place verb recipient thing =？",
    },
    question=QUESTION,
    phrases=phrases,
    space="",
)
