"""Which model a request gets, and what it is told where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.bundles.manifest import Task
from khulasa_server.errors import InvalidRequestError, NotFoundError, Reason, UnavailableError
from khulasa_server.tasks.catalog import (
    ONWARD_FIELDS,
    SUMMARY_FIELDS,
    TRANSLATION_FIELDS,
    Catalog,
    ModelState,
    match,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.bundles.manifest import Manifest

    Make = Callable[..., Manifest]


@pytest.mark.parametrize(
    ("code", "served", "found"),
    [
        ("ar", ("ar",), "ar"),
        ("AR", ("ar",), "ar"),
        ("ar-EG", ("ar",), "ar"),
        ("ar_EG", ("ar",), "ar"),
        ("ar-Arab-EG", ("ar",), "ar"),
        ("ar-EG", ("ar", "ar-EG"), "ar-EG"),
        ("AR-eg", ("ar", "ar-EG"), "ar-EG"),
        ("zh-TW", ("zh-Hans",), None),
        ("arz", ("ar",), None),
        ("a", ("ar",), None),
        ("", ("ar",), None),
        ("-", ("ar",), None),
    ],
)
def test_a_code_matches_itself_or_its_language(
    code: str, served: tuple[str, ...], found: str | None
) -> None:
    """A region is served by its language unless a model names it; nothing else is guessed."""
    assert match(code, served) == found


@pytest.fixture
def catalog(make_manifest: Make) -> Catalog:
    """Two translators of ar→en, one of them of ar-EG too, one of ar→fr, and one summarizer."""
    catalog = Catalog()
    catalog.add(make_manifest(name="first"))
    catalog.add(make_manifest(name="second", source_language_codes=("ar", "ar-EG")))
    catalog.add(make_manifest(name="french", target_language_codes=("fr",)))
    catalog.add(make_manifest(Task.SUMMARIZE, name="gist"))
    return catalog


def test_the_only_fitting_model_is_chosen(catalog: Catalog) -> None:
    """Task and languages decide where they leave one model."""
    translate = Task.TRANSLATE
    french = catalog.resolve(translate, TRANSLATION_FIELDS, source="ar-EG", target="fr")
    assert french.name == "french"
    assert catalog.resolve(Task.SUMMARIZE, SUMMARY_FIELDS, source="ar").name == "gist"


def test_a_name_decides_among_several(catalog: Catalog) -> None:
    """Without a name two fitting models are MODEL_AMBIGUOUS; with one it is that one."""
    ask = {"source": "ar", "target": "en"}
    with pytest.raises(InvalidRequestError) as caught:
        catalog.resolve(Task.TRANSLATE, TRANSLATION_FIELDS, **ask)
    assert caught.value.reason is Reason.MODEL_AMBIGUOUS
    assert caught.value.field == "model"
    assert caught.value.metadata == {"candidates": "first, second"}
    chosen = catalog.resolve(Task.TRANSLATE, TRANSLATION_FIELDS, name="second", **ask)
    assert chosen.name == "second"


@pytest.mark.parametrize("name", ["other", "gist", "FIRST"])
def test_a_name_of_no_model_of_the_task_is_not_found(catalog: Catalog, name: str) -> None:
    """A name is exact and of the task asked for; the error lists those that are."""
    with pytest.raises(NotFoundError) as caught:
        catalog.resolve(Task.TRANSLATE, ONWARD_FIELDS, name=name, source="ar", target="en")
    assert caught.value.reason is Reason.MODEL_NOT_FOUND
    assert caught.value.field == "translation_model"
    assert caught.value.metadata == {"model": name, "candidates": "first, second, french"}


@pytest.mark.parametrize(
    ("source", "target", "at"),
    [("de", "en", "source"), ("ar", "de", "target"), ("de", "de", "source")],
)
def test_a_pair_that_nobody_serves_lists_those_that_are(
    catalog: Catalog, source: str, target: str, at: str
) -> None:
    """LANGUAGE_UNSUPPORTED points at the source only where no model reads it at all."""
    with pytest.raises(InvalidRequestError) as caught:
        catalog.resolve(Task.TRANSLATE, TRANSLATION_FIELDS, source=source, target=target)
    assert caught.value.reason is Reason.LANGUAGE_UNSUPPORTED
    assert caught.value.field == f"{at}_language_code"
    assert caught.value.metadata == {
        "requested": f"{source}→{target}",
        "served": "ar→en; ar,ar-EG→en; ar→fr",
    }


def test_a_named_model_must_serve_the_pair(catalog: Catalog) -> None:
    """What is served is then what the named model serves."""
    with pytest.raises(InvalidRequestError) as caught:
        catalog.resolve(Task.TRANSLATE, TRANSLATION_FIELDS, name="french", source="ar", target="en")
    assert caught.value.metadata["served"] == "ar→fr"


def test_a_task_without_models_is_not_found() -> None:
    """A server without a translator says so."""
    with pytest.raises(NotFoundError) as caught:
        Catalog().resolve(Task.TRANSLATE, TRANSLATION_FIELDS, source="ar", target="en")
    assert caught.value.metadata == {"model": "", "candidates": ""}


def test_two_models_of_one_name_are_refused(catalog: Catalog, make_manifest: Make) -> None:
    """Names are what requests choose by, so they are unique."""
    with pytest.raises(ValueError, match="two bundles are called first"):
        catalog.add(make_manifest(name="first"))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ModelState.LOADING, Reason.NOT_READY),
        (ModelState.FAILED, Reason.NOT_READY),
        (ModelState.DRAINING, Reason.SHUTTING_DOWN),
        (ModelState.READY, Reason.NOT_READY),
    ],
)
def test_a_model_without_a_working_engine_says_when_to_ask_again(
    catalog: Catalog, state: ModelState, reason: Reason
) -> None:
    """Whatever keeps a model from answering is UNAVAILABLE with a time to come back."""
    model = catalog.get("first", "name")
    model.state = state
    with pytest.raises(UnavailableError) as caught:
        model.ready_engine()
    assert caught.value.reason is reason
    assert caught.value.retry_after == 2.0
    assert caught.value.metadata == {"model": "first", "state": state.value}
