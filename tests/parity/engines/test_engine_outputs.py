"""What is served is what transformers computes, token by token."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from khulasa_server.engines.base import Finish, GenerationOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.engines.base import Generation

SCORE = 1e-4
SCORE_WITH_BAN = 5e-3


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("length_penalty", [0.6, 1.0])
@pytest.mark.parametrize("ngram", [0, 2])
def test_float32_outputs_are_those_of_transformers(
    pair: Any,  # noqa: ANN401 - a type of conftest
    beam: int,
    length_penalty: float,
    ngram: int,
) -> None:
    """Tokens, text and end are identical for every input; scores agree."""
    options = GenerationOptions(
        beam_size=beam,
        max_output_tokens=30,
        length_penalty=length_penalty,
        no_repeat_ngram_size=ngram,
        target_token=pair.target_token,
    )
    served = pair.served.generate(pair.inputs, options)
    reference = pair.reference.generate(pair.inputs, options)
    assert _without_scores(served) == _without_scores(reference)
    bound = SCORE_WITH_BAN if ngram else SCORE
    for ours, theirs in zip(served, reference, strict=True):
        assert ours.score == pytest.approx(theirs.score, abs=bound)


def test_the_checkpoints_are_worth_comparing(pair: Any) -> None:  # noqa: ANN401 - a type of conftest
    """Outputs differ between inputs, some end and some are cut: agreement is no accident."""
    options = GenerationOptions(max_output_tokens=30, target_token=pair.target_token)
    outputs = pair.served.generate(pair.inputs, options)
    assert len({output.tokens for output in outputs}) > len(outputs) // 2
    assert {output.finish for output in outputs} == set(Finish)


def test_teacher_forced_scores_are_those_of_transformers(pair: Any) -> None:  # noqa: ANN401 - a type of conftest
    """Each token of a given output has the same log-probability, the end token too."""
    options = GenerationOptions(beam_size=1, max_output_tokens=12, target_token=pair.target_token)
    targets = [output.tokens for output in pair.reference.generate(pair.inputs, options)]
    served = pair.served.score(pair.inputs, targets)
    reference = pair.reference.score(pair.inputs, targets)
    assert [len(row) for row in served] == [len(target) + 1 for target in targets]
    for ours, theirs in zip(served, reference, strict=True):
        # Float32 carries seven digits through sums of large logits.
        assert ours == pytest.approx(theirs, rel=3e-4, abs=SCORE)


def test_each_target_language_is_its_own(pair: Any) -> None:  # noqa: ANN401 - a type of conftest
    """With several targets, outputs differ by target token, and for each as in transformers."""
    tokens = list(pair.bundle.manifest.target_tokens.values())
    written = []
    for token in tokens:
        options = GenerationOptions(beam_size=1, max_output_tokens=12, target_token=token)
        served = pair.served.generate(pair.inputs, options)
        reference = pair.reference.generate(pair.inputs, options)
        assert _without_scores(served) == _without_scores(reference)
        written.append(_without_scores(served))
    assert all(one != other for one, other in pairwise(written))


def _without_scores(outputs: Sequence[Generation]) -> list[tuple[object, ...]]:
    return [(output.tokens, output.text, output.finish) for output in outputs]
