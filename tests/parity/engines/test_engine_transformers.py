"""The reference keeps to the protocol that every engine keeps to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from khulasa_server.bundles.store import load as load_bundle
from khulasa_server.engines import transformers as module
from khulasa_server.engines.base import (
    END,
    Engine,
    EngineError,
    EngineInputError,
    Finish,
    Generation,
    GenerationOptions,
)
from khulasa_server.engines.loading import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPTIONS = GenerationOptions(max_output_tokens=8)


@pytest.fixture
def make(goldens: Any) -> Callable[[str], Engine]:  # noqa: ANN401 - a type of conftest
    """Loads the committed checkpoint of a family."""

    def build(family: str) -> Engine:
        directory = goldens.directory / family
        manifest = load_bundle(directory / "bundle").manifest
        return load("transformers", directory / "checkpoint", manifest, workers=1, threads=1)

    return build


@pytest.mark.parametrize("family", ["marian", "mt5"])
def test_it_is_loaded_by_its_name_and_closed(family: str, make: Callable[[str], Engine]) -> None:
    """It warms up, answers nothing with nothing, and refuses to run once closed."""
    engine = make(family)
    engine.warm_up()
    tokens = engine.tokenize(["سلام", ""])
    nothing = Generation(text="", tokens=(), score=0.0, finish=Finish.END)
    assert (engine.name, engine.compute_type) == ("transformers", "float32")
    assert engine.generate(tokens, OPTIONS)[1] == nothing
    assert engine.generate([], OPTIONS) == []
    assert engine.score([], []) == []
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.generate(tokens, OPTIONS)
    with pytest.raises(EngineError, match="closed"):
        engine.score(tokens, [(), ()])


def test_it_refuses_what_the_served_engine_refuses(make: Callable[[str], Engine]) -> None:
    """Inputs and outputs beyond the positions, and targets that the model lacks."""
    engine = make("marian")
    too_long = (*["▁"] * 64, END)
    with pytest.raises(EngineInputError, match="65 tokens"):
        engine.generate([too_long], OPTIONS)
    with pytest.raises(EngineInputError, match="at most 63"):
        engine.generate([(END,)], GenerationOptions(max_output_tokens=64))
    with pytest.raises(EngineInputError, match="surrogate"):
        engine.tokenize(["\ud800"])


def test_a_broken_checkpoint_is_an_engine_error(
    goldens: Any,  # noqa: ANN401 - a type of conftest
    tmp_path: Path,
) -> None:
    """An empty directory cannot be loaded, and the error names it."""
    manifest = load_bundle(goldens.directory / "mt5" / "bundle").manifest
    with pytest.raises(EngineError, match=tmp_path.name):
        load("transformers", tmp_path, manifest, workers=1, threads=1)


def test_a_bundle_from_the_hub_names_its_checkpoint(
    goldens: Any,  # noqa: ANN401 - a type of conftest
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given the bundle itself, the revision in its manifest is fetched."""
    directory = goldens.directory / "mt5"
    manifest = load_bundle(directory / "bundle").manifest
    source = manifest.source.model_copy(update={"repository": "a/b", "revision": "c0ffee"})
    asked = []

    def fetch(repository: str, *, revision: str, ignore_patterns: list[str]) -> str:
        asked.append((repository, revision))
        assert "*.h5" in ignore_patterns
        return str(directory / "checkpoint")

    monkeypatch.setattr(module, "snapshot_download", fetch)
    published = manifest.model_copy(update={"source": source})
    engine = load("transformers", directory / "bundle", published, workers=1, threads=1)
    assert asked == [("a/b", "c0ffee")]
    assert len(engine.generate(engine.tokenize(["سلام"]), OPTIONS)) == 1
