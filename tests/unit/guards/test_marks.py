"""Sentinels, entities, names and doubtful languages."""

from __future__ import annotations

import pytest

from khulasa_server.guards.entities import find_missing_entities
from khulasa_server.guards.findings import Kind
from khulasa_server.guards.language import doubt_language
from khulasa_server.guards.names import find_unsupported_names
from khulasa_server.guards.sentinels import find_sentinels


@pytest.mark.parametrize(
    "token",
    ["</s>", "<s>", "<pad>", "<unk>", "<extra_id_12>", ">>eng<<", "▁", "⁇", "<0x0A>", "[MASK]"],
)
def test_sentinels_are_found(token: str) -> None:
    """A control token in the output is told at its place, unless the source spells it."""
    output = f"He came {token} home."
    (finding,) = find_sentinels("عاد إلى بيته.", output)
    assert finding.kind is Kind.SENTINEL
    assert finding.target is not None
    assert finding.target.of(output) == token
    assert find_sentinels(f"الرمز {token} خاص", output) == []


def test_marks_of_prose_are_no_sentinels() -> None:
    """Quotation marks, comparisons and addresses are not control tokens."""
    assert find_sentinels("نص", "«a» <b> 3 < 4 >> 2, me@example.org [sic] <sup>") == []


@pytest.mark.parametrize(
    "entity",
    [
        "https://example.org/a?b=1",
        "www.example.org",
        "someone@example.org",
        "#خلاصة",
        "@khulasa",
        "😀",
        "👩‍💻",
        "🇮🇶",
        "☀️",
    ],
)
def test_lost_entities_are_found(entity: str) -> None:
    """An address, a tag or an emoji that the output lacks is told at its place in the source."""
    source = f"زوروا {entity} اليوم"
    (finding,) = find_missing_entities(source, "Visit today")
    assert finding.kind is Kind.ENTITY_MISSING
    assert finding.source is not None
    assert finding.source.of(source) == entity
    assert find_missing_entities(source, f"Visit {entity} today") == []


def test_prose_holds_no_entities() -> None:
    """Numbers, stops and signs are not addresses or emoji."""
    assert find_missing_entities("5.3 و 3/4 © 2020. انتهى™ #", "5.3") == []


def test_invented_names_are_found() -> None:
    """A Latin name that the article lacks is told; one that it has is not, whatever its case."""
    article = "أعلنت Apple عن هاتف iPhone جديد."
    (finding,) = find_unsupported_names(article, "أعلنت Samsung وAPPLE عن هاتف", "ar")
    assert finding.kind is Kind.NAME_UNSUPPORTED
    assert finding.detail == "Samsung"


def test_units_and_latin_summaries_hold_no_names() -> None:
    """A letter after a number is a unit; a language of Latin letters is not checked."""
    assert find_unsupported_names("خمسة كيلوغرامات", "5kg و39C", "ar") == []
    assert find_unsupported_names("Der Mann", "Herr Maier", "de") == []


@pytest.mark.parametrize(
    "text",
    [
        "خبرگزاری فرانسه گزارش داد که صدها نفر در تظاهرات شرکت کردند.",
        "وزیر اعظم نے آج پارلیمنٹ سے خطاب کیا۔",
    ],
)
def test_persian_and_urdu_are_doubted(text: str) -> None:
    """Text given as Arabic in letters that Arabic lacks is doubtful, and only then."""
    (finding,) = doubt_language(text, "ar")
    assert finding.kind is Kind.LANGUAGE_DOUBTFUL
    assert doubt_language(text, "fa") == []


def test_arabic_is_not_doubted(pairs: dict[str, list[tuple[str, str]]]) -> None:
    """At most one Arabic sentence in 200 is doubted: some are typed on a Persian keyboard."""
    sources = [source for name in ("flores-dev", "pud", "tatoeba") for source, _ in pairs[name]]
    assert sum(bool(doubt_language(source, "ar")) for source in sources) <= len(sources) / 200


def test_presentation_forms_are_arabic() -> None:
    """Old encodings of Arabic letters are no other language, and one borrowed letter is none."""
    assert doubt_language("ﻣﺮﺣﺒﺎ ﺑﻜﻢ", "ar") == []
    assert (
        doubt_language("كان العقيد چون ستارك يقود مئتين من الرجال في ذلك اليوم البعيد", "ar") == []
    )
