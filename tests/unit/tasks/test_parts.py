"""What a model does not copy is set apart, and the rest is translated around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.tasks.parts import around, as_copied, as_part, find_lost, joined
from khulasa_server.tasks.planning import Planned
from khulasa_server.tasks.routing import route_translation
from khulasa_server.tasks.values import Options
from khulasa_server.text import verbatim
from khulasa_server.text.assembly import assemble
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from tests.unit.tasks.conftest import Office

    from khulasa_server.tasks.routing import Route


@pytest.fixture
def route(office: Office) -> Route:
    """From Arabic to English."""
    return route_translation(office.desk.catalog, "ar", "en", Options())


def test_a_model_that_copies_stand_ins_is_asked_once(office: Office) -> None:
    """The sentence is read whole, and its addresses stand where the model put their codes."""
    (translation,), usage = office.translate("كتب @ahmad عن #السفر في كتاب")
    assert translation.text == "ktb @ahmad En #السفر fy ktab"
    assert len(translation.segments) == 1
    assert (usage.retries, translation.findings) == (0, ())


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("زر (انظر www.a.org/b) اليوم.", ["زر", "(", "انظر", "www.a.org/b", ")", "اليوم."]),
        ("زر www.a.org/b، ثم عد", ["زر", "www.a.org/b", "،", "ثم عد"]),
        ("أحب😀قهوة (جدا) هنا", ["أحب", "😀", "قهوة (جدا) هنا"]),
    ],
)
def test_parts_tile_the_source(route: Route, source: str, parts: list[str]) -> None:
    """Runs with the marks that touch them and the brackets around them, and what is between."""
    planned = around(source, verbatim.runs(source), route)
    assert [part.span.of(source) for part in planned] == parts
    assert "".join(parts).replace(" ", "") == source.replace(" ", "")


def test_lost_numerals_are_set_apart_without_their_words(route: Route) -> None:
    """Of "5 ملايين" only the digits can be copied; a number in words cannot."""
    source = "دفع ٪٣٫٥ من 5 ملايين لثلاثة رجال"
    spans = [Span(4, 8), Span(12, 20), Span(21, 27)]
    findings = [Finding(Kind.NUMBER_MISSING, span, None, "") for span in spans]
    lost = find_lost(source, findings)
    assert [span.of(source) for span in lost] == ["٪٣٫٥", "5"]
    assert as_copied("٪٣٫٥", route) == "3.5%"
    assert find_lost(source, [findings[0].resolve()]) == []


def test_a_numeral_does_not_touch_a_word(route: Route) -> None:
    """Where the source leaves out the space beside digits the output has one."""
    source = "في عام2006م فاز😀فريق"
    parts = around(source, [Span(6, 10), Span(15, 16)], route)
    texts = ["in the year", "2006", "AD he won", "😀", "team"]
    assert joined(source, parts, texts) == "in the year 2006 AD he won😀team"


@pytest.mark.parametrize("output", ["the house", " the house \n", "", " ", "البيت", "م2006"])
def test_a_whole_segment_is_its_output(output: str) -> None:
    """One part that is all of its segment needs no joining, and comes out as if joined."""
    source = "البيت"
    parts = [Planned(Span(0, len(source)), ("البيت", "</s>"))]
    assert joined(source, parts, [output]) == output.strip()
    assembled = assemble(source, [part.span for part in parts], [output])
    assert joined(source, parts, [output]) == assembled.text.strip()


def test_one_lost_address_sets_all_apart() -> None:
    """Where the model lost one, the others may stand in the wrong place."""
    source = "كتب @a عن @b"
    assert len(find_lost(source, [Finding(Kind.ENTITY_MISSING, Span(4, 6), None, "@a")])) == 2


def test_a_part_is_no_sentence() -> None:
    """The capital and the full stop that a model adds go; those of the source and of names stay."""
    source = "أحب القهوة في الصباح."
    middle, last = Span(4, 10), Span(11, 21)
    assert as_part(source, middle, "The coffee.") == "the coffee"
    assert as_part(source, last, "In the morning.") == "in the morning."
    assert as_part(source, last, "Cairo...") == "Cairo..."
    assert as_part(source, Span(0, 10), "The coffee") == "The coffee"
