"""Summaries in other languages than Arabic, and doubts about what was given as Arabic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from khulasa.v1 import common_pb2, summarization_pb2
from khulasa_server.bundles import store
from khulasa_server.bundles.manifest import MANIFEST_NAME, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.integration.conftest import Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

TRANSLATOR: Final = "demo-marian-ar-en"
SUMMARIZER: Final = "demo-mt5-ar-summary"
DOUBTFUL: Final = common_pb2.FINDING_KIND_LANGUAGE_DOUBTFUL
HIERARCHICAL: Final = summarization_pb2.LONG_DOCUMENT_STRATEGY_HIERARCHICAL
# Two sentences of each language; an article says them again with other numbers.
SENTENCES: Final = {
    "en": ("The minister met 3 visitors in Dr. Brown's house. They left at noon.", " "),
    "fa": ("وزیر با ۳ نفر در خانه دیدار کرد. آن‌ها ظهر می‌روند.", " "),
    "ur": ("وزیر نے گھر میں 3 لوگوں سے ملاقات کی۔ وہ دوپہر کو چلے گئے۔", " "),
    "zh": ("部长在家里会见了3位客人。他们中午离开了。", ""),
    "hi": ("मंत्री ने घर में 3 लोगों से मुलाकात की। वे दोपहर को चले गए।", " "),
    "ru": ("Министр встретил в доме 3 гостей. Они ушли в полдень.", " "),
}
PERSIAN: Final = "خبرگزاری فرانسه گزارش داد که صدها نفر در تظاهرات شرکت کردند."
URDU: Final = "وزیر اعظم نے آج پارلیمنٹ سے خطاب کیا۔"


def article(language: str) -> str:
    """Five paragraphs, two of them one after the other without a blank line."""
    sentence, space = SENTENCES[language]
    paragraphs = [
        space.join(sentence.replace("3", str(3 + 10 * row + part)) for part in range(12))
        for row in range(5)
    ]
    return "\n\n".join(paragraphs[:4]) + "\n" + paragraphs[4]


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., str]:
    """Makes an embedded bundle with some of its manifest changed."""

    def make(original_name: str, **changes: object) -> str:
        original = store.load(store.resolve(original_name))
        directory = tmp_path / str(changes["name"])
        directory.mkdir()
        for entry in original.path.iterdir():
            if entry.name != MANIFEST_NAME:
                (directory / entry.name).symlink_to(entry)
        manifest: Manifest = original.manifest.model_copy(update=changes).sealed()
        (directory / MANIFEST_NAME).write_text(manifest.to_json(), "utf-8")
        return str(directory)

    return make


@pytest.mark.parametrize("strategy", [0, HIERARCHICAL])
@pytest.mark.parametrize("language", SENTENCES)
async def test_articles_of_other_languages_are_summarized(
    bundle: Callable[..., str],
    serve: Serve,
    language: str,
    strategy: Any,  # noqa: ANN401 - an enum's value
) -> None:
    """Windows break at the language's own sentences, and spans, coverage and evidence are true."""
    languages = ("ar", *sorted(SENTENCES))
    model = bundle(
        SUMMARIZER, name="many", source_language_codes=languages, target_language_codes=languages
    )
    text = article(language)
    async with serve(models=(model,)) as service:
        request = summarization_pb2.SummarizeRequest(
            text=text, language_code=language, long_document_strategy=strategy
        )
        summary = (await service.summarization.Summarize(request, timeout=60)).summary
    assert summary.language_code == language
    assert (summary.coverage == 1) == (strategy == HIERARCHICAL)
    assert DOUBTFUL not in {finding.kind for finding in summary.findings}
    read = [chunk.source for chunk in summary.chunks if chunk.level == 0]
    assert len(read) > 1 or strategy != HIERARCHICAL
    reached = 0
    for span in read:
        assert not text[reached : span.start].strip()
        assert text[span.start : span.end].strip()[-1] in ".。۔।"
        reached = span.end
    assert summary.evidence[0].source.end <= reached
    assert summary.evidence[0].support > 0.5


@pytest.mark.parametrize("text", [PERSIAN, URDU])
async def test_what_is_hardly_arabic_is_doubted(service: Service, text: str) -> None:
    """Persian and Urdu pass as Arabic by their script: translations and summaries say so."""
    (translation,) = (await service.translate(text)).translations
    request = summarization_pb2.SummarizeRequest(text=f"{text} " * 9)
    summary = (await service.summarization.Summarize(request, timeout=60)).summary
    for findings in (translation.findings, summary.findings):
        (doubt,) = [finding for finding in findings if finding.kind == DOUBTFUL]
        assert doubt.source.start == 0
        assert "letters" in doubt.detail


async def test_a_pair_served_twice_needs_a_name(bundle: Callable[..., str], serve: Serve) -> None:
    """MODEL_AMBIGUOUS names the candidates; the name of one, or another pair, is enough."""
    second = bundle(TRANSLATOR, name="second")
    persian = bundle(TRANSLATOR, name="persian", source_language_codes=("fa",))
    async with serve(models=(TRANSLATOR, second, persian)) as service:
        await service.refused(
            service.translate("كتاب"),
            "MODEL_AMBIGUOUS",
            "model",
            candidates=f"{TRANSLATOR}, second",
        )
        (named,) = (await service.translate("كتاب", model="second")).translations
        (other,) = (await service.translate("کتاب", source_language_code="fa")).translations
    assert (named.model.name, other.model.name) == ("second", "persian")
