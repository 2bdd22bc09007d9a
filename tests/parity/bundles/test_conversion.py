"""What is served is what the authors' weights compute, as transformers computes it."""

from __future__ import annotations

import shutil
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.numpy

from khulasa_server.bundles.building import mt5
from khulasa_server.engines.base import GenerationOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from khulasa_server.engines.base import Engine

LARGEST = 2e-4
"""Of any token, in nats: two libraries round float32 in different orders. 1.1e-4 was seen."""
MEAN = 1e-5
"""Over all tokens, where roundings are small: 7e-7 to 5.4e-6 were seen."""
BEAMS = GenerationOptions(beam_size=4, max_output_tokens=12, length_penalty=0.6)
GREEDY = GenerationOptions(beam_size=1, max_output_tokens=12)


def differences(engine: Engine, variant: Any, lines: tuple[str, ...]) -> list[float]:  # noqa: ANN401 - a fixture's value
    """Of each token's score, between an engine and the reference, in nats."""
    sources = engine.tokenize(lines)
    targets = [output.tokens for output in engine.generate(sources, GREEDY)]
    rows = engine.score(sources, targets)
    return [
        abs(ours - theirs)
        for source, target, row in zip(sources, targets, rows, strict=True)
        for ours, theirs in zip(
            row, variant.reference.score(source, target, variant.allowed()), strict=True
        )
    ]


def test_scores_are_those_of_transformers(variant: Any, lines: tuple[str, ...]) -> None:  # noqa: ANN401 - a fixture's value
    """Teacher-forced scores agree for every token, whatever the output layer and start row."""
    seen = differences(variant.engine, variant, lines)
    assert max(seen) < LARGEST
    assert fmean(seen) < MEAN


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("no_repeat_ngram_size", [0, 2])
def test_outputs_are_those_of_transformers(
    variant: Any,  # noqa: ANN401 - a fixture's value
    lines: tuple[str, ...],
    beam_size: int,
    no_repeat_ngram_size: int,
) -> None:
    """Outputs agree token for token with generate(early_stopping, renormalize_logits)."""
    options = GenerationOptions(
        beam_size=beam_size,
        max_output_tokens=12,
        length_penalty=0.6,
        no_repeat_ngram_size=no_repeat_ngram_size,
    )
    sources = variant.engine.tokenize(lines)
    outputs = variant.engine.generate(sources, options)
    allowed = variant.allowed()
    expected = [variant.reference.generate(source, options, allowed) for source in sources]
    assert [output.tokens for output in outputs] == expected


def differs(engine: Engine, variant: Any, lines: tuple[str, ...]) -> bool:  # noqa: ANN401 - a fixture's value
    """Whether scores and outputs of an engine are visibly not the variant's own."""
    sources = engine.tokenize(lines)
    ours, theirs = engine.generate(sources, BEAMS), variant.engine.generate(sources, BEAMS)
    texts = [output.text for output in ours] != [output.text for output in theirs]
    return texts and fmean(differences(engine, variant, lines)) > MEAN


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[Any, str, Any], Path]:
    """Copy a variant's checkpoint with a part of one tensor set to zero."""

    def damaged(variant: Any, tensor: str, part: Any) -> Path:  # noqa: ANN401 - a fixture's value
        copy = tmp_path / "damaged"
        shutil.copytree(variant.directory, copy)
        tensors = safetensors.numpy.load_file(copy / "model.safetensors")
        tensors[tensor][part] = 0.0
        safetensors.numpy.save_file(tensors, copy / "model.safetensors")
        return copy

    return damaged


@pytest.mark.parametrize(
    ("name", "tensor", "part"),
    [
        ("marian-pad-row", "model.shared.weight", -1),
        ("marian-final-bias", "final_logits_bias", ...),
    ],
)
def test_losing_a_tensor_of_marian_would_show(  # noqa: PLR0917 - fixtures
    name: str,
    tensor: str,
    part: Any,  # noqa: ANN401 - an index
    lines: tuple[str, ...],
    tmp_path: Path,
    damaged: Callable[[Any, str, Any], Path],
    open_variant: Callable[[str], Any],
    build_and_open: Callable[..., Engine],
) -> None:
    """Without the start row or the final bias, outputs and scores are not the authors'."""
    variant = open_variant(name)
    copy = damaged(variant, tensor, part)
    engine = build_and_open(copy, tmp_path / "bundle", full_vocabulary=True)
    assert differs(engine, variant, lines)


@pytest.mark.parametrize("name", ["mt5-untied", "mt5-tied"])
def test_scaling_the_output_of_mt5_would_show(  # noqa: PLR0917 - fixtures
    name: str,
    lines: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_variant: Callable[[str], Any],
    build_and_open: Callable[..., Engine],
) -> None:
    """Believing transformers 5, which calls every mT5 tied, changes beams and scores."""
    variant = open_variant(name)
    monkeypatch.setattr(mt5, "scales_outputs", lambda _config, *, tied: True)  # noqa: ARG005 - the same signature
    engine = build_and_open(variant.directory, tmp_path / "bundle")
    assert differs(engine, variant, lines)
