"""What stands in for addresses, tags, mentions and emoji while a model reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.text import verbatim
from khulasa_server.text.masking import mask

MIXED = st.text(st.sampled_from("اب ج،.)(@#/:x1XBAC_😀☕\u200d\ufe0f🇪🇬\n") | st.characters())


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("زر https://a.b/c?d=1&e=2، ثم عد", ["https://a.b/c?d=1&e=2"]),
        ("زر (www.a.com/b_(c)) ثم عد.", ["www.a.com/b_(c)"]),
        ("زر http://a.b/c. ثم عد", ["http://a.b/c"]),
        ("زر khulasa.org أو a.gov/x/y.", ["khulasa.org", "a.gov/x/y"]),
        ("اكتب إلى a.b+c@d-e.org.", ["a.b+c@d-e.org"]),
        ("كتب @أحمد و@sara_9", ["@أحمد"]),
        ("عن #القاهرة_اليوم و #٢٠٢٤عام", ["#القاهرة_اليوم", "#٢٠٢٤عام"]),
        ("أحب 😀😀 و❤ و1️⃣", ["😀😀", "❤", "1️⃣"]),
        ("رقم #5 و C# و 5.3 و 3/4 © 2020. انتهى™", []),
        ("قال.ثم عاد. Mr.Smith e.g. A.B", []),
    ],
)
def test_runs_are_found(text: str, runs: list[str]) -> None:
    """Whole, without the brackets and stops of the sentence around them."""
    assert [span.of(text) for span in verbatim.runs(text)] == runs


def test_a_stand_in_is_a_word_of_its_own() -> None:
    """A model reads a short code, apart from the letters beside it, and each comes back."""
    masked = mask("أحب😀قهوة، زر www.a.com/x.")
    assert masked.text == "أحب X1 قهوة، زر X2."
    assert masked.restore("Visit X2. I love X1 coffee") == "Visit www.a.com/x. I love 😀 coffee"


def test_what_a_model_loses_is_not_made_up_for() -> None:
    """A code that is gone or written otherwise leaves no trace; the guards see that."""
    masked = mask("أحب 😀 قهوة")
    assert masked.restore("I love X12 coffee, MAX1") == "I love X12 coffee, MAX1"


def test_a_text_that_spells_a_stand_in_gets_another() -> None:
    """What the author wrote is never taken for a stand-in."""
    assert mask("طراز X1 جيد 😀 جدا").text == "طراز X1 جيد B1 جدا"
    spelled = "x1 b1 a1 c1 جيد 😀 جدا"
    assert mask(spelled).text == spelled


@given(MIXED)
def test_restoring_a_masked_text_gives_its_runs_back(text: str) -> None:
    """Of a model that copies everything every run comes back, in order, whatever the text."""
    masked = mask(text)
    restored = masked.restore(masked.text)
    assert restored.replace(" ", "") == text.replace(" ", "")
    assert [*masked.runs.values()] in ([], [span.of(text) for span in verbatim.runs(text)])
