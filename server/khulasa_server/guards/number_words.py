"""Number words of Arabic and English, spelled as they are looked up."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Role(Enum):
    """How a word takes part in a number."""

    ADD = "add"
    """Stands alone or is added: three, twenty, ثلاثمئة."""
    TEEN = "teen"
    """Adds ten to the unit before it: the second word of ثلاثة عشر."""
    HUNDRED = "hundred"
    """Multiplies a unit before it by a hundred."""
    SCALE = "scale"
    """Multiplies all before it: thousand, million, مليار."""
    FRACTION = "fraction"
    """Half, third, quarter; added to a number before it when linked by "and"."""
    DECADE = "decade"
    """The sixties."""
    HINT = "hint"
    """Accounts for a number elsewhere and asks for none: twice, both, a decade."""
    MONTH = "month"
    """Its number accounts for one in a date such as 12/5/2010."""
    DUAL = "dual"
    """A span of time, twice: ساعتين."""
    CENTURY = "century"
    """The word century itself: an ordinal beside it counts hundreds of years."""
    PERCENT = "percent"
    """The word that would be a hundred and only says percent."""


class NumberWord(NamedTuple):
    """One entry.

    Args:
        role: how it takes part.
        value: its number.
        times: of a scale, how often it holds already: 2 for a dual such as ألفين.
        linked: it begins with "and".
        ordinal: third rather than three.
        arabic: the order of words is that of Arabic, units before tens.
        also: other numbers it may stand for.
    """

    role: Role
    value: float
    times: int = 1
    linked: bool = False
    ordinal: bool = False
    arabic: bool = False
    also: tuple[float, ...] = ()


_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
_UNITS += " fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_MONTHS = "january february march april may june july august september october november december"
_SHORT_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"


def _english() -> dict[str, NumberWord]:
    add, hint = Role.ADD, Role.HINT
    words = {w: NumberWord(add, n) for n, w in enumerate(_UNITS.split())}
    ordinals = {w: n for n, w in enumerate(_ORDINALS.split(), 1)}
    ordinals |= {f"{w}th": n for w, n in zip(_UNITS.split()[13:], range(13, 20), strict=True)}
    for n, ten in enumerate(_TENS.split(), 2):
        words[ten] = NumberWord(add, 10 * n)
        words[f"{ten[:-1]}ies"] = NumberWord(Role.DECADE, 10 * n)
        ordinals[f"{ten[:-1]}ieth"] = 10 * n
    words |= {w: NumberWord(add, n, ordinal=True) for w, n in ordinals.items()}
    for name, value in (("thousand", 1e3), ("million", 1e6), ("billion", 1e9), ("trillion", 1e12)):
        words |= {w: NumberWord(Role.SCALE, value) for w in (name, f"{name}s")}
    words |= {w: NumberWord(Role.SCALE, 12) for w in ("dozen", "dozens")}
    words["bn"] = NumberWord(Role.SCALE, 1e9)
    words |= {w: NumberWord(Role.HUNDRED, 100) for w in ("hundred", "hundreds")}
    words |= {w: NumberWord(Role.FRACTION, 0.5) for w in ("half", "halves", "halfway")}
    words |= {w: NumberWord(Role.FRACTION, 0.25) for w in ("quarter", "quarters", "quarterly")}
    words |= {w: NumberWord(Role.FRACTION, 1 / 3) for w in ("thirds",)}
    for months in (_MONTHS, _SHORT_MONTHS):
        words |= {w: NumberWord(Role.MONTH, n) for n, w in enumerate(months.split(), 1)}
    hints = {
        0: "no none null nil",
        1: "once single sole individual lone solo",
        2: "twice both pair pairs couple couples double doubled doubles dual duo twin twins twofold"
        " biannual bi secondly",
        3: "thrice triple tripled trio triplets threefold tri thirdly",
        4: "quadruple quartet fourfold",
        5: "quintuple fivefold",
        10: "tenfold decade",
        12: "noon midday midnight",
        100: "centuries centenary centennial",
    }
    words |= {w: NumberWord(hint, n) for n, listed in hints.items() for w in listed.split()}
    words |= {w: NumberWord(Role.CENTURY, 100) for w in ("century", "centuries")}
    return words


# Folded as `fold` does, and without marks.
_AR_UNITS = {
    0: "صفر صفرا",
    1: "واحد واحده واحدا احد احدي",
    2: "اثنان اثنين اثنا اثني اثنتان اثنتين اثنتا اثنتي",
    3: "ثلاث ثلاثه ثلاثا",
    4: "اربع اربعه اربعا",
    5: "خمس خمسه خمسا",
    6: "سته ست ستا",
    7: "سبع سبعه سبعا",
    8: "ثمان ثماني ثمانيه ثمانيا",
    9: "تسع تسعه تسعا",
    10: "عشره",
}
_AR_TENS = {
    20: "عشر",
    30: "ثلاث",
    40: "اربع",
    50: "خمس",
    60: "ست",
    70: "سبع",
    80: "ثمان",
    90: "تسع",
}
_AR_ORDINALS = {
    1: "اول اولي اولا حادي حاديه",
    2: "ثاني ثانيه ثان ثانيا",
    3: "ثالث ثالثه ثالثا",
    4: "رابع رابعه رابعا",
    5: "خامس خامسه خامسا",
    6: "سادس سادسه سادسا",
    7: "سابع سابعه سابعا",
    8: "ثامن ثامنه ثامنا",
    9: "تاسع تاسعه تاسعا",
    10: "عاشر عاشره عاشرا",
}
_AR_STEMS = "ثلاث اربع خمس ست سبع ثمان تسع"
_AR_SCALES = {
    12: ("دزينه دسته", "دزينتين"),
    1e3: ("الف الفا الاف", "الفين الفان الفي"),
    1e6: ("مليون ملايين مليونا", "مليونين مليونان مليوني"),
    1e9: ("مليار مليارات مليارا بليون بليونا بلايين", "مليارين ملياران ملياري"),
    1e12: ("تريليون تريليونا تريليونات ترليون", "تريليونين تريليوني"),
}
_AR_DUALS = "ساعتين ساعتان عامين عامان سنتين سنتان شهرين شهران اسبوعين اسبوعان يومين يومان"
_AR_FRACTIONS = {
    0.5: "نصف نصفا نصفه نصفهم نصفها",
    0.25: "ربع ربعا ربعهم ربعها ارباع",
    1 / 3: "ثلث ثلثهم ثلثها ثلثا ثلثي ثلثين ثلثان",
}
_AR_MONTHS = {
    1: "يناير جانفي",
    2: "فبراير شباط فيفري",
    3: "مارس اذار",
    4: "ابريل نيسان افريل",
    5: "مايو ايار ماي",
    6: "يونيو حزيران جوان",
    7: "يوليو تموز يوليه جويليه",
    8: "اغسطس اب اوت",
    9: "سبتمبر ايلول شتنبر",
    10: "اكتوبر",
    11: "نوفمبر",
    12: "ديسمبر دجنبر",
}
_AR_HINTS = {
    1: "مره وحيد وحيده مفرد مفرده",
    2: "مرتين مرتان كلا كلي كلتا كلتي زوج زوجي زوجين ضعف ضعفي ضعفين مزدوج مزدوجه ثنائي ثنائيه توام",
    3: "ثلاثي ثلاثيه",
    4: "رباعي رباعيه",
    5: "خماسي خماسيه خمسهم خمسها",
    10: "عقد عقدا عقود",
    12: "ظهرا الظهر",
}
_AR_PREFIXES = ("", "ال", "ب", "بال", "ل", "لل", "ك", "كال", "ف", "فال")
# What a particle would turn into a number word and is another word: لست "I am not", وست "West".
_AR_OTHERS = frozenset({"لست", "ولست", "فلست", "وست", "باب", "كاب"})


def _ar_hundreds() -> Iterator[tuple[int, str]]:
    for n, stem in enumerate(_AR_STEMS.split(), 3):
        stems = (stem, f"{stem}ي")
        yield 100 * n, " ".join(f"{s}{h}" for s in stems for h in ("مئه", "مائه", "مايه"))


def _arabic_bare() -> dict[str, NumberWord]:
    words: dict[str, NumberWord] = {}

    def enter(
        forms: str, role: Role, value: float, *, times: int = 1, ordinal: bool = False
    ) -> None:
        for form in forms.split():
            words.setdefault(form, NumberWord(role, value, times, ordinal=ordinal, arabic=True))

    for value, stem in _AR_TENS.items():
        enter(f"{stem}ون {stem}ين", Role.ADD, value)
        plurals = " ".join(f"{stem}{end}" for end in ("ينيات", "ينات", "ينيه"))
        enter(plurals, Role.DECADE, value)
    for value, forms in (*_ar_hundreds(), *_AR_UNITS.items()):
        enter(forms, Role.ADD, value)
    for value, forms in _AR_ORDINALS.items():
        enter(forms, Role.ADD, value, ordinal=True)
    enter("عشر", Role.TEEN, 10)
    enter("مئه مائه مايه مئات", Role.HUNDRED, 100)
    enter("مئتين مئتان مئتا مئتي مائتين مائتان مائتا مائتي", Role.ADD, 200)
    for scale, (single, dual) in _AR_SCALES.items():
        enter(single, Role.SCALE, scale)
        enter(dual, Role.SCALE, scale, times=2)
    for share, forms in _AR_FRACTIONS.items():
        enter(forms, Role.FRACTION, share)
    enter(_AR_DUALS, Role.DUAL, 2)
    for value, forms in _AR_MONTHS.items():
        enter(forms, Role.MONTH, value)
    for value, forms in _AR_HINTS.items():
        enter(forms, Role.HINT, value)
    # Two months share each of these names.
    words["تشرين"] = NumberWord(Role.MONTH, 10, arabic=True, also=(11,))
    words["كانون"] = NumberWord(Role.MONTH, 12, arabic=True, also=(1,))
    enter("قرن قرنين قرنان قرون قرنا", Role.CENTURY, 100)
    return words


def _arabic() -> dict[str, NumberWord]:
    """Every form with the particles that are written together with it."""
    words: dict[str, NumberWord] = {}
    for bare, word in _arabic_bare().items():
        for prefix in _AR_PREFIXES:
            form = prefix + bare
            words.setdefault(form, word)
            words.setdefault(f"و{form}", word._replace(linked=True))
    for form in _AR_OTHERS:
        words.pop(form, None)
    # Folded, "one" and "and one" are the same.
    words["واحد"] = words["واحد"]._replace(linked=True)
    percent = NumberWord(Role.PERCENT, 0, arabic=True)
    words |= dict.fromkeys(("بالمئه", "بالمائه", "بالمايه", "المئويه", "مئويه"), percent)
    return words


NUMBER_WORDS = _english() | _arabic()
"""Folded form without marks → entry."""

MARKS = re.compile(r"[\u064b-\u0652\u0670ـ]+")
"""Vowel marks and tatweel, of which no number word is spelled with any here."""

_FOLD = str.maketrans("أإآٱىة", "اااايه")


def fold(text: str) -> str:
    """`text` as number words are spelled here, as long as before: one alef, ى as ي, ة as ه."""
    lower = text.lower()
    return (lower if len(lower) == len(text) else text).translate(_FOLD)
