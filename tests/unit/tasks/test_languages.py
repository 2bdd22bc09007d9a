"""Which language a text is taken to be in, and when that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.bundles.manifest import Task
from khulasa_server.errors import InvalidRequestError, Reason
from khulasa_server.tasks.catalog import Catalog
from khulasa_server.tasks.languages import language_of, require_language

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.bundles.manifest import Manifest


@pytest.fixture
def served(make_manifest: Callable[..., Manifest]) -> Callable[..., Catalog]:
    """Makes a catalog with one summarizer of some languages."""

    def make(*codes: str) -> Catalog:
        catalog = Catalog()
        if codes:
            catalog.add(make_manifest(Task.SUMMARIZE, source_language_codes=codes))
        return catalog

    return make


MIXED = "شركة Apple الأمريكية"
FOREIGN = "The company شركة opened in Cairo"


@pytest.mark.parametrize(
    ("text", "codes", "found"),
    [
        (MIXED, ("ar", "en"), "ar"),
        (FOREIGN, ("ar", "en"), "en"),
        (FOREIGN, ("ar",), "ar"),
        ("نص عربي", ("ar", "fa", "ur"), "ar"),
        ("نص", ("fa", "ur"), "fa"),
        ("plain", ("de", "en", "fr"), "en"),
        ("plain", ("de", "fr"), "de"),
        ("Москва", ("ru", "ar"), "ru"),
        ("日本語", ("ja", "ar"), "ja"),
        ("Москва и شركة", ("ar", "en"), "ar"),
        ("123", ("ar", "en"), "ar"),
        ("😀", ("en", "fr"), "en"),
        ("", ("ar",), "ar"),
    ],
)
def test_most_letters_decide(
    served: Callable[..., Catalog], text: str, codes: tuple[str, ...], found: str
) -> None:
    """A few foreign names do not change the language; where most letters cannot, any do."""
    assert language_of(text, served(*codes), lenient=False) == found


def test_a_script_of_no_served_language_is_refused(served: Callable[..., Catalog]) -> None:
    """Letters of other scripts only are LANGUAGE_MISMATCH, or, in bulk, no matter."""
    with pytest.raises(InvalidRequestError) as caught:
        language_of("Москва", served("ar", "en"), lenient=False)
    assert caught.value.reason is Reason.LANGUAGE_MISMATCH
    assert caught.value.field == "text"
    assert caught.value.metadata == {"language": "ar or en", "script": "Cyrillic"}
    assert language_of("Москва", served("ar", "en"), lenient=True) == "ar"


def test_without_a_summarizer_the_language_is_arabic(served: Callable[..., Catalog]) -> None:
    """Then there is no model, which is for the catalog to say."""
    assert language_of("Москва", served(), lenient=False) == "ar"


@pytest.mark.parametrize(
    "texts", [["كتاب"], ["only Latin", "كتاب"], ["12"], ["😀", ""], [""], ["ـ"]]
)
def test_a_request_with_a_letter_of_its_language_or_none_passes(texts: list[str]) -> None:
    """One letter in one of the contents is enough, and so are no letters at all."""
    require_language(texts, "ar", "contents")


@pytest.mark.parametrize(
    ("texts", "script"),
    [(["latin", "12"], "Latin"), (["日本", ""], "Han"), (["אב", "x"], "Hebrew")],
)
def test_a_request_in_another_script_is_refused(texts: list[str], script: str) -> None:
    """The error tells the script that most letters are of."""
    with pytest.raises(InvalidRequestError) as caught:
        require_language(texts, "ar", "contents")
    assert caught.value.reason is Reason.LANGUAGE_MISMATCH
    assert caught.value.metadata == {"language": "ar", "script": script}
