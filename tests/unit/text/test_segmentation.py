"""What a sentence is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.text.segmentation import split

ANY_TEXT = st.text(st.characters(exclude_categories=()))
NEWSLIKE = st.lists(
    st.sampled_from(
        ["كلمة", "Word", "د.", "3.5", "٣٫٥", ".", "..", "…", "؟", "!", "،", ":", "«", "»", '"', "(",
         ")", "- ", "• ", "1. ", "٢) ", " ", " ", " ", "\n", "\n\n", "\r\n", "\u2028", "\x85",
         "\u00a0", "\u200f", "\ufeff", "\0", "😀", "https://a.b/c?d=e", "a@b.cd", "@c", "\ud800",
         "ُ", "\u200d"]
    )
).map("".join)  # fmt: skip
LANGUAGES = st.sampled_from(["ar", "en", "fa", "zh-Hant-TW", "hi", "ru", "und", "", "x-!", "🙂"])


def segments(text: str, language: str = "ar") -> list[str]:
    """What a text is split into."""
    return [span.of(text) for span in split(text, language)]


def lines(*texts: str) -> str:
    """Texts on a line each."""
    return "\n".join(texts)


@given(ANY_TEXT | NEWSLIKE, LANGUAGES)
def test_spans_tile_any_text(text: str, language: str) -> None:
    """Spans and the whitespace between them are the whole text, and no span is loose."""
    reached = 0
    for span in split(text, language):
        gap, part = text[reached : span.start], span.of(text)
        assert not gap or gap.isspace()
        assert part
        assert part == part.strip()
        reached = span.end
    assert not text[reached:] or text[reached:].isspace()


@given(NEWSLIKE, NEWSLIKE)
def test_blank_lines_always_end_a_segment(before: str, after: str) -> None:
    """Nothing reaches over a blank line, so paragraphs survive."""
    text = f"{before}\n\n{after}"
    for span in split(text, "ar"):
        assert not span.start <= len(before) < span.end


def test_the_article_keeps_its_paragraphs(article: str) -> None:
    """19 paragraphs, 28 sentences: `..` ends one, and the broken sentence stays in two."""
    spans = split(article, "ar")
    paragraphs = {article.count("\n\n", 0, span.start) for span in spans}
    assert len(paragraphs) == 19
    assert len(spans) == 28
    found = [span.of(article) for span in spans]
    assert found[0].startswith("لندن: اعتبر")
    assert found[1].endswith('والتقاليد"..')
    assert found[2].startswith("مشيرا")
    assert "مباحثات رسمية عراقية ايرانية" in found
    assert found[17].endswith("برئاسة")
    assert found[18].startswith("النائب الأول")
    assert found[-1].endswith("القومي .")


def test_real_sentences_stay_whole(news: list[str]) -> None:
    """Of 300 lines that hold a sentence each, only the two that hold two are split."""
    split_up = [line for line in news if len(split(line, "ar")) > 1]
    assert [len(split(line, "ar")) for line in split_up] == [2, 2]
    assert "نحن نسير على الدرب الصحيح. اتفاق" in split_up[0]
    assert "تستمد كل هذه الطاقة؟ أو" in split_up[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("جاء. ثم ذهب.", ["جاء.", "ثم ذهب."], id="full stops"),
        pytest.param("هل جاء؟ نعم! حسنا", ["هل جاء؟", "نعم!", "حسنا"], id="question and shout"),
        pytest.param("جاء؛ لكنه، كما قيل، تأخر", ["جاء؛ لكنه، كما قيل، تأخر"], id="clause marks"),
        pytest.param("قال د. أحمد إنه", ["قال د. أحمد إنه"], id="title"),
        pytest.param("قال د.أحمد إنه", ["قال د.أحمد إنه"], id="title without a space"),
        pytest.param("جاء ود. منى", ["جاء ود. منى"], id="title after and"),
        pytest.param("كتب أ. د. م. ن. حسن", ["كتب أ. د. م. ن. حسن"], id="initials"),
        pytest.param("شركة م.ن.ع. كبيرة", ["شركة م.ن.ع. كبيرة"], id="initials in one word"),
        pytest.param("عام 300 ق.م. ثم جاء", ["عام 300 ق.م.", "ثم جاء"], id="era ends a sentence"),
        pytest.param("سنة 1445 هـ. وجاء", ["سنة 1445 هـ.", "وجاء"], id="hijri year"),
        pytest.param(
            "زار U.S. Steel مع Mr. Smith ثم J. K. Rowling",
            ["زار U.S. Steel مع Mr. Smith ثم J. K. Rowling"],
            id="latin abbreviations",
        ),
        pytest.param("بلغ 3.5 أو ٣٫٥٪ من 1,000", ["بلغ 3.5 أو ٣٫٥٪ من 1,000"], id="decimals"),
        pytest.param("ربح ١٬٠٠٠٬٠٠٠ دولار.", ["ربح ١٬٠٠٠٬٠٠٠ دولار."], id="thousands"),
        pytest.param("تأخر… ثم جاء... أخيرا", ["تأخر… ثم جاء... أخيرا"], id="pause"),
        pytest.param("انتهى.. وذهب", ["انتهى..", "وذهب"], id="two dots"),
        pytest.param("انتهى .. وذهب", ["انتهى ..", "وذهب"], id="two dots apart"),
        pytest.param("جاء . ثم ذهب .", ["جاء .", "ثم ذهب ."], id="stops apart"),
        pytest.param("قال «نعم». ثم", ["قال «نعم».", "ثم"], id="guillemets"),
        pytest.param("قال “نعم.” ثم", ["قال “نعم.”", "ثم"], id="curly quotes"),
        pytest.param('قال "نعم". ثم', ['قال "نعم".', "ثم"], id="straight quotes"),
        pytest.param("لندن: قال الوزير", ["لندن: قال الوزير"], id="dateline"),
        pytest.param("جاء.ثم ذهب؟نعم", ["جاء.", "ثم ذهب؟", "نعم"], id="no space after a stop"),
        pytest.param("نص بلا وقف", ["نص بلا وقف"], id="no stop"),
        pytest.param(". جاء", [". جاء"], id="lone stop joins what follows"),
        pytest.param("جاء! « ثم", ["جاء!", "« ثم"], id="lone quote joins what follows"),
        pytest.param("من 10:30 ص. 45", ["من 10:30 ص.", "45"], id="unit after a number"),
        pytest.param("عنوان\nنص الخبر.", ["عنوان", "نص الخبر."], id="headline"),
        pytest.param("أ\u2028ب\x85ج\u2029د\x0bه\x0cو", ["أ", "ب", "ج", "د", "ه", "و"], id="breaks"),
        pytest.param("جاء\u00a0. ثم", ["جاء\u00a0.", "ثم"], id="no-break space"),
        pytest.param("\ufeffجاء.\u200f ثم", ["\ufeffجاء.\u200f", "ثم"], id="invisible characters"),
        pytest.param("كل\0مة. أخرى", ["كل\0مة.", "أخرى"], id="NUL"),
        pytest.param("كلمة\ud800. أخرى", ["كلمة\ud800.", "أخرى"], id="lone surrogate"),
        pytest.param(
            "👨‍👩‍👧 𐤀𐤁. جاء 𝐀 هنا. ثم", ["👨‍👩‍👧", "𐤀𐤁.", "جاء 𝐀 هنا.", "ثم"], id="astral"
        ),
        pytest.param(" \n\t\u3000", [], id="blank"),
        pytest.param("", [], id="empty"),
    ],
)
def test_arabic_news(text: str, expected: list[str]) -> None:
    """What Arabic newspapers write is split where a reader would."""
    assert segments(text) == expected


@pytest.mark.parametrize(
    ("item", "mark"),
    [
        ("- بند", "-"), ("– بند", "–"), ("-بند", "-"), ("• بند", "•"), ("•بند", "•"),
        ("* بند", "*"),
        ("▪ بند", "▪"), ("1. بند", "1."), ("٢) بند", "٢)"), ("(3) بند", "(3)"), ("4- بند", "4-"),
        ("5 - بند", "5 -"), ("۶-بند", "۶-"), ("1.2. بند", "1.2."), ("① بند", "①"), ("# بند", "#"),
        ("- 1. بند", "- 1."), ("✅ بند", "✅"), ("1️⃣ بند", "1️⃣"), ("\u200f- بند", "\u200f-"),
    ],
)  # fmt: skip
def test_list_marks_are_segments_of_their_own(item: str, mark: str) -> None:
    """A mark that opens a line is apart from its item, so that it can be copied."""
    assert segments(lines("عنوان:", item, f"  {item}")) == ["عنوان:", mark, "بند", mark, "بند"]


@pytest.mark.parametrize(
    "line",
    [
        "-5 درجات",
        "3.5 مليون",
        "5-star hotel",
        "أ) بند",
        "#وسم",
        "12-5-2020 موعد",
        "كلمة - كلمة",
        "1.5",
    ],
)
def test_what_only_looks_like_a_list_mark_stays(line: str) -> None:
    """Numbers, dates, hashtags and marks that hold a letter are not cut off."""
    assert segments(line) == [line]


def test_prose_wrapped_by_hand_is_joined() -> None:
    """Lines broken for lack of room make one sentence; headings and items around them do not."""
    prose = (
        "هذه فقرة طويلة ملفوفة باليد عند ستين حرفا تقريبا في كل سطر",
        "منها كما يفعل كتاب البريد الإلكتروني القدامى الذين لا يحبون",
        "السطور الطويلة. وهذه جملة ثانية تبدأ في السطر الثالث وتستمر",
        "إلى الرابع.",
    )
    assert segments(lines("عنوان", *prose, "- بند")) == [
        "عنوان",
        lines(*prose[:2], "السطور الطويلة."),
        lines("وهذه جملة ثانية تبدأ في السطر الثالث وتستمر", "إلى الرابع."),
        "-",
        "بند",
    ]
    assert segments(lines(*prose).replace("\n", "\r\n")) == [
        part.replace("\n", "\r\n") for part in segments(lines(*prose))
    ]


def test_two_long_lines_are_not_wrapped_prose() -> None:
    """A headline above a longer one is no habit of wrapping."""
    headlines = (
        "رئيس الوزراء العراقي يبدأ زيارة رسمية إلى طهران",
        "مباحثات حول الأمن والطاقة في طهران",
    )
    assert segments(lines(*headlines)) == list(headlines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("انظر https://a.b/c?d=1&e=2.", ["انظر", "https://a.b/c?d=1&e=2."]),
        ("راسل a.b@c.com", ["راسل", "a.b@c.com"]),
        ("@user شكرا لك 😀😀 #وسم", ["@user", "شكرا لك", "😀😀 #وسم"]),
        ("شكرا😀 https://a.b @c", ["شكرا", "😀 https://a.b @c"]),
        ("زر www.a.com/ب?x=1 اليوم", ["زر www.a.com/ب?x=1 اليوم"]),
        ("@a @b", ["@a @b"]),
    ],
)
def test_addresses_at_the_edge_are_segments_of_their_own(text: str, expected: list[str]) -> None:
    """Addresses, tags, mentions and emoji beside a sentence are apart, and never cut."""
    assert segments(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", 'He met Mr. Li. "Run!" she said. No. 5 won.', 3),
        ("en", "He left... Then she wept… and slept. Plan I. Then", 4),
        ("fa", "او می‌رود. من می‌مانم؟ بله.", 3),
        ("ur", "وہ گیا۔ میں رہا۔", 2),
        ("zh", "我们走。你呢？好！", 3),
        ("hi", "वह गया। मैं रहा।", 2),
        ("ru", "А. С. Пушкин родился в Москве. Он умер в 1837 г. в Петербурге.", 2),
    ],
)
def test_other_languages(language: str, text: str, expected: int) -> None:
    """Sentences of the other languages that summaries serve are found as well."""
    assert len(split(text, language)) == expected


@pytest.mark.timeout(20)
def test_endless_repetition_is_no_attack(endless: str) -> None:
    """Time grows with the length of a text, whatever it repeats."""
    assert split(endless, "ar")[-1].end == len(endless)
