"""Warming up tells how long warm batches take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines import trials

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.ctranslate2 import CTranslate2Engine


@pytest.mark.parametrize("family", ["marian", "mt5"])
def test_timings_say_what_was_run(
    family: str, bundle_of: Callable[[str], Bundle], make_engine: Callable[..., CTranslate2Engine]
) -> None:
    """The longest input that fits beside a target token, and sentences; once for each worker."""
    bundle = bundle_of(family)
    manifest = bundle.manifest
    room = manifest.limits.max_input_tokens - bool(manifest.target_tokens)
    timings = make_engine(bundle, workers=2).warm_up(2)
    assert [(each.items, each.longest) for each in timings] == [
        *[(1, room)] * 2,
        *[(trials.SENTENCES, min(room, trials.SENTENCE_TOKENS))] * 2,
    ]
    for timing in timings:
        assert 0 < timing.seconds < 60
        assert timing.beam_size == manifest.generation.beam_size
        assert 1 <= timing.steps <= trials.WARM_STEPS + 1
        assert timing.steps <= timing.written <= timing.items * timing.steps


def test_a_trial_may_be_shorter_than_the_model_allows(
    bundle_of: Callable[[str], Bundle],
) -> None:
    """And never longer."""
    manifest = bundle_of("mt5").manifest
    most = manifest.limits.max_input_tokens
    assert len(trials.longest(manifest, 4, most=5).batch[0]) == 5
    assert len(trials.longest(manifest, 4, most=10_000).batch[0]) == most
    assert trials.longest(manifest, 10_000).options.max_output_tokens == (
        manifest.limits.max_output_tokens
    )
