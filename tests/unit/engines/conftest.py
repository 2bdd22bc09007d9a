"""Tiny bundles, and manifests of any shape."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sentencepiece

from khulasa_server.bundles import store
from khulasa_server.engines.ctranslate2 import CTranslate2Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session")
def bundle_of() -> Callable[[str], Bundle]:
    """Reads a committed tiny bundle: `marian` with two target languages, or `mt5`."""
    return lambda family: store.load(DATA / "engines" / family / "bundle")


@pytest.fixture(scope="session")
def golden_of() -> Callable[[str], dict[str, Any]]:
    """Reads what transformers wrote with the checkpoint of a tiny bundle."""

    def read(family: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(
            (DATA / "engines" / family / "golden.json").read_bytes()
        )
        return content

    return read


@pytest.fixture
def make_engine() -> Iterator[Callable[..., CTranslate2Engine]]:
    """Loads bundles, and closes them afterwards."""
    engines: list[CTranslate2Engine] = []

    def load(bundle: Bundle, *, workers: int = 1, threads: int = 1) -> CTranslate2Engine:
        engine = CTranslate2Engine(bundle.path, bundle.manifest, workers=workers, threads=threads)
        engines.append(engine)
        return engine

    yield load
    for engine in engines:
        engine.close()


@pytest.fixture
def manifest_of(bundle_of: Callable[[str], Bundle]) -> Callable[..., Manifest]:
    """A manifest of a family, with some fields changed."""
    return lambda family, **changes: bundle_of(family).manifest.model_copy(update=changes)


@pytest.fixture(scope="session")
def train() -> Callable[..., bytes]:
    """Trains a SentencePiece model on lines."""

    def run(lines: list[str], **settings: object) -> bytes:
        model = io.BytesIO()
        trainer: Any = sentencepiece.SentencePieceTrainer
        trainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            num_threads=1,
            minloglevel=2,
            hard_vocab_limit=False,
            **{"vocab_size": 400, **settings},
        )
        return model.getvalue()

    return run


@pytest.fixture(scope="session")
def arabic_lines() -> list[str]:
    """Paragraphs of a real article."""
    text = (DATA / "article_ar.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line.strip()]
