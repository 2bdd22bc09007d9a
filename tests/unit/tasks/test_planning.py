"""Which segments a text becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.bundles.manifest import Task
from khulasa_server.errors import InvalidRequestError, Reason
from khulasa_server.tasks.planning import plan
from khulasa_server.tasks.routing import route_summary, route_translation
from khulasa_server.tasks.values import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tasks.conftest import Office

    from khulasa_server.bundles.manifest import Manifest


def planned(office: Office, text: str) -> list[tuple[str, bool]]:
    """Each segment's source and whether a model reads it."""
    route = route_translation(office.desk.catalog, "ar", "en", Options())
    return [(piece.span.of(text), piece.tokens is not None) for piece in plan(text, route)]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", [("", False)]),
        (" \n ", [(" \n ", False)]),
        ("ذهب. عاد.", [("ذهب.", True), ("عاد.", True)]),
        ("ذهب\n2024\nعاد", [("ذهب", True), ("2024", False), ("عاد", True)]),
        ("only Latin\nعاد", [("only Latin", False), ("عاد", True)]),
        ("https://example.org/خبر", [("https://example.org/خبر", False)]),
        ("انظر https://a.org/خبر", [("انظر", True), ("https://a.org/خبر", False)]),
        ("@علي", [("@علي", False)]),
        ("😀 ذهب 😀", [("😀", False), ("ذهب", True), ("😀", False)]),
        ("1. ذهب", [("1.", False), ("ذهب", True)]),
    ],
)
def test_what_has_nothing_to_translate_is_a_segment_of_its_own(
    office: Office, text: str, segments: list[tuple[str, bool]]
) -> None:
    """Numbers, addresses, emoji and lines in another script are not sent to a model."""
    assert planned(office, text) == segments


def test_a_long_sentence_is_split_at_the_soft_limit(
    make_office: Callable[..., Office], make_manifest: Callable[..., Manifest]
) -> None:
    """No segment has more tokens than the soft limit, and none of the text is lost."""
    office = make_office(make_manifest(limits={"segment_tokens": 8}))
    text = "قال المدير إن العمل سينتهي غدا، ثم ذهب إلى البيت ونام، وفي الصباح عاد"
    route = route_translation(office.desk.catalog, "ar", "en", Options())
    pieces = plan(text, route)
    assert len(pieces) > 2
    assert all(piece.tokens and len(piece.tokens) <= 8 for piece in pieces)
    assert "".join(piece.span.of(text) for piece in pieces).replace(" ", "") == text.replace(
        " ", ""
    )


def test_a_model_reads_normalized_text(office: Office) -> None:
    """Tatweel, presentation forms and marks of direction are not what a model reads."""
    route = route_translation(office.desk.catalog, "ar", "en", Options())
    plain = plan("كتاب الولد", route)[0].tokens
    for written in ("كتـــاب الولد", "ﻛﺘﺎﺏ الولد", "\u200fكتاب\u200d الولد", "كتاب\u00a0الولد"):
        (piece,) = plan(written, route)
        assert piece.tokens == plain
        assert (piece.span.start, piece.span.end) == (0, len(written))


def test_joiners_stay_for_languages_that_spell_with_them(
    make_office: Callable[..., Office], make_manifest: Callable[..., Manifest]
) -> None:
    """A zero-width non-joiner is a letter's form in Persian and nothing in Arabic."""
    office = make_office(make_manifest(source_language_codes=("ar", "fa")))
    catalog = office.desk.catalog
    word = "می\u200cروم"
    persian = route_translation(catalog, "fa", "en", Options())
    arabic = route_translation(catalog, "ar", "en", Options())
    assert "\u200c" in "".join(persian.tokenize([word])[0])
    assert "\u200c" not in "".join(arabic.tokenize([word])[0])


def test_a_route_takes_defaults_and_wishes(
    make_office: Callable[..., Office], make_manifest: Callable[..., Manifest]
) -> None:
    """What the caller leaves open is the model's default; the target's token is the model's."""
    tokens = {"en": ">>eng<<", "fr": ">>fra<<"}
    office = make_office(
        make_manifest(target_language_codes=("en", "fr"), target_tokens=tokens),
        make_manifest(Task.SUMMARIZE),
    )
    catalog = office.desk.catalog
    route = route_translation(catalog, "ar-EG", "fr-CA", Options(beam_size=2))
    assert (route.source, route.target) == ("ar", "fr")
    assert route.generation.target_token == tokens["fr"]
    assert (route.generation.beam_size, route.generation.max_output_tokens) == (2, 255)
    gist = route_summary(catalog, "ar", Options(max_output_tokens=128)).generation
    assert (gist.beam_size, gist.max_output_tokens, gist.length_penalty) == (4, 128, 0.6)
    assert (gist.no_repeat_ngram_size, gist.target_token) == (3, "")


def test_more_output_than_a_model_has_is_refused(office: Office) -> None:
    """The limit is the model's own, and is told."""
    with pytest.raises(InvalidRequestError) as caught:
        route_summary(office.desk.catalog, "ar", Options(max_output_tokens=129))
    assert caught.value.reason is Reason.OPTION_INVALID
    assert caught.value.metadata == {"limit": "128", "actual": "129"}


@pytest.mark.parametrize(
    ("policy", "read"),
    [
        ("keep", "كَتَبَ الوَلَدُ قدّم"),
        ("remove", "كتب الولد قدم"),
        ("remove_when_vocalized", "كتب الولد قدم"),
    ],
)
def test_vowel_marks_are_read_as_the_manifest_says(
    make_office: Callable[..., Office],
    make_manifest: Callable[..., Manifest],
    policy: str,
    read: str,
) -> None:
    """The model reads what its bundle asks for; spans stay those of the marked original."""
    office = make_office(make_manifest(Task.TRANSLATE, vowel_marks={"policy": policy}))
    text = "كَتَبَ الوَلَدُ قدّم"
    route = route_translation(office.desk.catalog, "ar", "en", Options())
    assert route.tokenize([text]) == office.engines[route.model.name].tokenize([read])
    (translation,), _ = office.translate(text)
    assert [segment.source.of(text) for segment in translation.segments] == [text]


def test_a_newspaper_keeps_its_few_marks(
    make_office: Callable[..., Office], make_manifest: Callable[..., Manifest]
) -> None:
    """A mark that tells two words apart is read where vocalized text would lose its marks."""
    policy = {"policy": "remove_when_vocalized"}
    office = make_office(make_manifest(Task.TRANSLATE, vowel_marks=policy))
    text = "قدّم المدير شكره إلى مُدرّسة المدينة"
    route = route_translation(office.desk.catalog, "ar", "en", Options())
    assert route.tokenize([text]) == office.engines[route.model.name].tokenize([text])
