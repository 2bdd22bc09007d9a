"""Bundles as they are built serve what their manifests say, over a real channel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from khulasa.v1 import common_pb2, model_pb2, summarization_pb2
from khulasa_server.bundles.building import shapes, synthesize
from khulasa_server.bundles.building.build import Recorder, build
from khulasa_server.bundles.building.describe import BuildOptions, Origin
from khulasa_server.bundles.building.trimming import Keep
from khulasa_server.bundles.manifest import MANIFEST_NAME, Quantization
from khulasa_server.engines.base import GenerationOptions
from khulasa_server.engines.ctranslate2 import CTranslate2Engine
from khulasa_server.engines.proving import GREEDY

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Service

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

TWO_TARGETS = Path(__file__).parents[1] / "data" / "engines" / "marian" / "checkpoint"
SENTENCE = "ذهب الولد إلى المدرسة"
TEXTS = {"ar": SENTENCE, "ru": "Мальчик пошёл в школу"}
OPTIONS = common_pb2.Options(max_output_tokens=4)
SUMMARIZER = shapes.mt5_shape(
    depth=16, head=8, layers=1, heads=2, inner=32, pieces_known=600, rows=612
)


def open_engine(directory: Path, manifest: Manifest) -> CTranslate2Engine:
    """The serving engine, on one thread."""
    return CTranslate2Engine(directory, manifest, workers=1, threads=1)


@pytest.fixture
def built(tmp_path: Path) -> Callable[..., Bundle]:
    """Builds a float32 bundle."""

    def make(checkpoint: Path, options: BuildOptions) -> Bundle:
        recorder = Recorder(open_engine, GREEDY)
        return build(Origin(checkpoint), tmp_path / options.name, options, recorder)

    return make


async def test_the_target_language_chooses_the_target_token(
    built: Callable[..., Bundle], serve: Serve
) -> None:
    """Of a model with `>>eng<<` and `>>fra<<`, `en` and `fr` get what it writes after each."""
    options = BuildOptions(
        name="two", license="Apache-2.0", languages=("ar",), quantization=Quantization.FLOAT32
    )
    bundle = built(TWO_TARGETS, options)
    assert bundle.manifest.target_tokens == {"en": ">>eng<<", "fr": ">>fra<<"}
    engine = open_engine(bundle.path, bundle.manifest)
    async with serve(engine="ctranslate2", models=(str(bundle.path),)) as service:
        model = (await service.models.GetModel(model_pb2.GetModelRequest(name="two"))).model
        assert list(model.target_language_codes) == ["en", "fr"]
        texts = {}
        for language, token in bundle.manifest.target_tokens.items():
            answer = await service.translate(
                SENTENCE, target_language_code=language, options={"max_output_tokens": 3}
            )
            texts[language] = answer.translations[0].text
            wish = GenerationOptions(max_output_tokens=3, target_token=token)
            assert texts[language] == engine.generate(engine.tokenize([SENTENCE]), wish)[0].text
        assert texts["en"] != texts["fr"]
        await service.refused(
            service.translate(SENTENCE, target_language_code="de"),
            "LANGUAGE_UNSUPPORTED",
            "target_language_code",
            requested="ar→de",
            served="ar→en,fr",
        )


async def test_a_model_that_scores_otherwise_is_refused_alone(
    built: Callable[..., Bundle], serve: Serve
) -> None:
    """Every digest right and one golden score moved: the input is named, others serve."""
    options = BuildOptions(name="moved", license="Apache-2.0", languages=("ar",))
    bundle = built(TWO_TARGETS, options)
    first, *others = bundle.manifest.golden
    golden = (first.model_copy(update={"score": first.score + 0.15}), *others)
    moved = bundle.manifest.model_copy(update={"golden": golden}).sealed()
    (bundle.path / MANIFEST_NAME).write_text(moved.to_json(), "utf-8")
    models = (str(bundle.path), "demo-mt5-ar-summary")
    async with serve(engine="ctranslate2", models=models) as service:
        model = (await service.models.GetModel(model_pb2.GetModelRequest(name="moved"))).model
        assert model.state == model_pb2.MODEL_STATE_FAILED
        assert f"the score of {first.input!r} moved by -0.15" in model.state_detail
        request = summarization_pb2.SummarizeRequest(text=SENTENCE, options=OPTIONS)
        assert (await service.summarization.Summarize(request, timeout=60)).summary.text


async def test_a_trimmed_bundle_serves_only_what_it_kept(
    built: Callable[..., Bundle], serve: Serve, tmp_path: Path
) -> None:
    """A summarizer of Arabic, English and Russian, trimmed to the first two, refuses the third."""
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    synthesize.write(checkpoint, SUMMARIZER, seed=5, name="tiny")
    languages = ("ar", "en", "ru")
    for name, keep in (("whole", None), ("trimmed", Keep(languages=("ar", "en"), most=420))):
        bundle = built(checkpoint, BuildOptions(name=name, languages=languages, keep=keep))
        async with serve(engine="ctranslate2", models=(str(bundle.path),)) as service:

            def summarize(language: str, service: Service = service) -> Any:  # noqa: ANN401 - a call of gRPC
                request = summarization_pb2.SummarizeRequest(
                    text=TEXTS[language], language_code=language, options=OPTIONS
                )
                return service.summarization.Summarize(request, timeout=60)

            assert (await summarize("ar")).summary.model.name == name
            if keep is None:
                assert (await summarize("ru")).summary.model.name == name
                continue
            await service.refused(
                summarize("ru"),
                "LANGUAGE_UNSUPPORTED",
                "language_code",
                requested="ru",
                served="ar,en",
            )
