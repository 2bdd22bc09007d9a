"""What a model reads, and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

import khulasa_server
from khulasa_server.text.normalization import Marks, Policy, normalize
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from khulasa_server.text.offsets import Run

DEMO_TOKENIZER = (
    Path(khulasa_server.__file__).parent / "bundles" / "demo" / "demo-marian-ar-en" / "source.spm"
)
ODD = st.text(
    "٠٢۳٫٬٪ـاهم\u064e\u0651\u0654\u0653\u0323\u0301ﺍﻻﷺﹱﹶﱞ\u200b\u200c\u200d\u200f\ufeff \u00a0\n\t▁"
    ".،!<>/spadeng_x0\u2028\ud800a😀-\0\x1f\x85\u037e\u2000\u2044"
)
TEXTS = ODD | st.text(st.characters(exclude_categories=()))
POLICIES = st.builds(Policy, marks=st.sampled_from(Marks), keep_joiners=st.booleans())


@given(TEXTS, POLICIES)
def test_normalizing_twice_changes_nothing(text: str, policy: Policy) -> None:
    """A normalized text is normal."""
    once = normalize(text, policy).text
    assert normalize(once, policy).text == once


@given(TEXTS, POLICIES)
def test_runs_tile_both_texts(text: str, policy: Policy) -> None:
    """Runs in order are the whole source and the whole result; untouched ones are equal."""
    normalized = normalize(text, policy)
    runs: list[Run] = list(normalized.rewriting.runs())
    assert "".join(run.source.of(text) for run in runs) == text
    assert "".join(run.result.of(normalized.text) for run in runs) == normalized.text
    assert all(
        run.rewritten or run.source.of(text) == run.result.of(normalized.text) for run in runs
    )


@given(TEXTS, POLICIES, st.data())
def test_spans_go_back_in_order(text: str, policy: Policy, data: st.DataObject) -> None:
    """Later ends come from later places, and a wider span from a wider one."""
    normalized = normalize(text, policy)
    places = st.integers(0, len(normalized.text))
    a, b, c, d = sorted(data.draw(st.tuples(places, places, places, places)))
    first, second = normalized.to_source(Span(a, b)), normalized.to_source(Span(c, d))
    assert first.start <= second.start or c == d
    assert first.end <= second.end <= len(text)
    if b < c:
        inner, outer = normalized.to_source(Span(b, c)), normalized.to_source(Span(a, d))
        assert outer.start <= inner.start <= inner.end <= outer.end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("عام ٢٠٢٣ أو ۲۰۲۳", "عام 2023 أو 2023", id="digits"),
        pytest.param("٣٫٥٪ من ١٬٠٠٠", "3.5% من 1,000", id="number marks"),
        pytest.param("محـــمد في الصـراع", "محمد في الصراع", id="tatweel in a word"),
        pytest.param(
            '1445هـ لـ"إيلاف" الـ11', '1445هـ لـ"إيلاف" الـ11', id="tatweel that ends one"
        ),
        pytest.param("ﻣﺤﻤﺪ ﷺ", "محمد صلى الله عليه وسلم", id="presentation forms"),
        pytest.param("محمﺪﹰ", "محمدً", id="presentation form of a mark"),
        pytest.param("\u200fمح\u200bم\u00adد\u200e\u0000", "محمد", id="invisible controls"),
        pytest.param("می\u200cخواهم", "میخواهم", id="joiner beside an Arabic letter"),
        pytest.param("👨\u200d👩 क्\u200dष", "👨\u200d👩 क्\u200dष", id="joiners elsewhere"),
        pytest.param("أ\u00a0 ب\tج\r\nد\u3000ه▁و\x1fز", "أ ب ج د ه و ز", id="odd spaces"),
        pytest.param("ا\u064e\u0654", "أ\u064e", id="order of marks"),
        pytest.param("نعم!!!!!! لا؟؟؟؟ . . . . .", "نعم!!! لا؟؟؟ ...", id="repeated signs"),
        pytest.param("لماذا؟؟ نعم... و-- ثم", "لماذا؟؟ نعم... و-- ثم", id="a few repeated signs"),
        pytest.param(
            "</s> <extra_id_0> >>eng<<", "< /s> < extra_id_0> > >eng<<", id="control pieces"
        ),
        pytest.param("<\u200b/s>", "< /s>", id="hidden control piece"),
        pytest.param("كل\ud800مة", "كل\ufffdمة", id="lone surrogate"),
        pytest.param("مُحَمَّدٌ", "مُحَمَّدٌ", id="vowel marks"),
        pytest.param("Hello, 1,000 كلمة.", "Hello, 1,000 كلمة.", id="clean text"),
    ],
)
def test_default_policy(text: str, expected: str) -> None:
    """What confuses tokenizers goes, everything a reader sees stays."""
    assert normalize(text).text == expected


def test_vowel_marks_go_where_the_model_wants_it() -> None:
    """Marks are removed on request, hamza and madda never."""
    vocalized, newspaper = "إِنَّ الْقُرْآنَ مُؤَثِّرٌ", "جداً في شؤون العراق"
    remove, adapt = Policy(marks=Marks.REMOVE), Policy(marks=Marks.REMOVE_WHEN_VOCALIZED)
    assert normalize(vocalized, remove).text == "إن القرآن مؤثر"
    assert normalize(vocalized, adapt).text == "إن القرآن مؤثر"
    assert normalize(newspaper, remove).text == "جدا في شؤون العراق"
    assert normalize(newspaper, adapt).text == newspaper


def test_joiners_stay_where_the_language_spells_with_them() -> None:
    """Persian keeps its non-joiner."""
    assert normalize("می\u200cخواهم", Policy(keep_joiners=True)).text == "می\u200cخواهم"


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("عام ٢٠٢٣ جاء", "2023", "٢٠٢٣"),
        ("😀 بلغ ٣٫٥٪ اليوم", "3.5%", "٣٫٥٪"),
        ("قال مح\u200bم\u200bد\u200f نعم", "محمد", "مح\u200bم\u200bد"),
        ("قال ﷺ نعم", "الله", "ﷺ"),
        ("قال  \u00a0 نعم", "نعم", "نعم"),
        ("يا محـــمد ٥ نعم", "حم", "حـــم"),
        ("ا\u064e\u0654ب", "ب", "ب"),
    ],
)
def test_findings_point_into_the_original(text: str, found: str, expected: str) -> None:
    """What is found in the normalized text is shown where it stands in the original."""
    normalized = normalize(text)
    start = normalized.text.index(found)
    assert normalized.to_source(Span(start, start + len(found))).of(text) == expected


def test_clean_text_keeps_its_pieces(news: list[str]) -> None:
    """The embedded translator reads 300 real sentences as it would without normalization."""
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(DEMO_TOKENIZER))
    for line in news:
        assert tokenizer.encode(normalize(line).text) == tokenizer.encode(line)
    assert sum(normalize(line).text != line for line in news) <= 1


@pytest.mark.timeout(20)
def test_endless_repetition_is_no_attack(endless: str) -> None:
    """Time grows with the length of a text, whatever it repeats."""
    normalized = normalize(endless)
    assert sum(len(run.source) for run in normalized.rewriting.runs()) == len(endless)
