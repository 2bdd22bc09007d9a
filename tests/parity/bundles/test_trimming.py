"""Leaving pieces out is the same as never writing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from khulasa_server.bundles.building.trimming import Keep
from khulasa_server.engines.base import GenerationOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.ctranslate2 import CTranslate2Engine

MT5 = {"keep": Keep(languages=("ar",), most=450)}


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize(
    ("name", "options"),
    [("marian-pad-row", {}), ("marian-final-bias", {}), ("mt5-untied", MT5), ("mt5-tied", MT5)],
)
def test_outputs_are_those_of_transformers_with_the_rest_suppressed(  # noqa: PLR0917 - fixtures
    name: str,
    options: dict[str, Any],
    beam_size: int,
    lines: tuple[str, ...],
    tmp_path: Path,
    open_variant: Callable[[str], Any],
    make_bundle: Callable[..., Bundle],
    open_engine: Callable[[Bundle], CTranslate2Engine],
    pieces_of: Callable[[Bundle], tuple[str, ...]],
) -> None:
    """A trimmed model writes, token for token, what the full one does when it may write no more."""
    variant = open_variant(name)
    bundle = make_bundle(variant.directory, tmp_path / "bundle", **options)
    allowed = pieces_of(bundle)
    assert 0 < len(allowed) < len(variant.reference.pieces) - 1
    generation = GenerationOptions(
        beam_size=beam_size, max_output_tokens=12, length_penalty=0.6, no_repeat_ngram_size=2
    )
    engine = open_engine(bundle)
    sources = engine.tokenize(lines)
    expected = [variant.reference.generate(source, generation, allowed) for source in sources]
    assert [output.tokens for output in engine.generate(sources, generation)] == expected
