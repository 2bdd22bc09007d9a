"""Golden outputs: recorded when a bundle is built, compared before it is served.

What is compared is the score the model gives to the recorded output, token by token (teacher
forcing). Kernels of different processors round int8 products differently: scores then move a
little, and now and then a text changes where two continuations were as good as equal. A damaged
or wrong model moves scores by orders of magnitude more.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from statistics import fmean
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from khulasa_server.bundles.manifest import (
    GOLDEN_INPUT_TOKENS,
    Golden,
    Quantization,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.bundles.manifest import Manifest

OptionsT_contra = TypeVar("OptionsT_contra", contravariant=True)
Tokens = tuple[str, ...]
Mode = Literal["tolerant", "strict"]

GOLDEN_FEWEST = 8
"""Golden outputs that a bundle has at least."""
TEXTS_COMPARED = 4
"""Golden texts that are written again at every start, where they decide nothing: writing them
takes twice as long as scoring them all."""


class Written(Protocol):
    """One output of an engine."""

    @property
    def text(self) -> str:
        """The output, detokenized."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Its pieces, without end of sequence."""
        ...


class Subject(Protocol[OptionsT_contra]):
    """What the canary needs of an engine; `OptionsT_contra` are its generation options."""

    @property
    def compute_type(self) -> str:
        """Arithmetic actually used."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Pieces of each text, end of sequence appended."""
        ...

    def generate(self, batch: Sequence[Tokens], options: OptionsT_contra) -> Sequence[Written]:
        """Output of each input, in the order given."""
        ...

    def score(self, batch: Sequence[Tokens], targets: Sequence[Tokens]) -> list[list[float]]:
        """Log-probability of each target token, end of sequence last."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far scores may move, in nats a token.

    Args:
        golden: the mean of one golden output.
        mean: the mean over all of them.
    """

    golden: float
    mean: float


EXACT = Tolerance(golden=1e-4, mean=1e-4)
"""For float32, where kernels differ in the last bits only: those of other instruction sets moved
golden outputs of a full-size Marian model by up to 4.8e-5."""
ROUNDED = Tolerance(golden=0.1, mean=0.01)
"""For int8 and bfloat16."""


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """How a loaded model compares with the one that was built.

    Args:
        differences: one sentence for each reason to refuse it; empty: it may serve.
        changed: golden inputs whose greedy output has another text now.
        goldens: outputs whose scores were compared.
        largest_shift: of one golden output's score, absolute, nats a token.
        mean_shift: of the mean score over all of them, signed, nats a token.
        texts: outputs that were written again, to compare their texts.
    """

    differences: tuple[str, ...]
    changed: tuple[str, ...]
    goldens: int
    largest_shift: float
    mean_shift: float
    texts: int = 0

    @property
    def passed(self) -> bool:
        """True: the model may serve."""
        return not self.differences

    @property
    def texts_equal(self) -> int:
        """Outputs that were written again as recorded."""
        return self.texts - len(self.changed)


def golden_lines(language: str) -> tuple[str, ...]:
    """Inputs in a language, in English where there are none in it; at most 32 pieces or so."""
    directory = resources.files("khulasa_server.bundles") / "golden"
    file = directory / f"{language}.txt"
    if not file.is_file():
        file = directory / "en.txt"
    return tuple(file.read_text("utf-8").splitlines())


def record(
    engine: Subject[OptionsT_contra],
    lines: Sequence[str],
    greedy: OptionsT_contra,
    *,
    target_token: str = "",
) -> tuple[Golden, ...]:
    """Golden outputs of a freshly built model.

    Args:
        engine: with the model.
        lines: inputs; those of more than 32 pieces are left out.
        greedy: options with one beam and at most 16 tokens, nothing banned.
        target_token: put before every input, for a model with several targets.
    """
    prefix = (target_token,) if target_token else ()
    tokenized = zip(lines, engine.tokenize(lines), strict=True)
    inputs = [(line, prefix + tokens) for line, tokens in tokenized]
    inputs = [(line, tokens) for line, tokens in inputs if len(tokens) <= GOLDEN_INPUT_TOKENS]
    sources = [tokens for _, tokens in inputs]
    written = engine.generate(sources, greedy)
    scores = _mean_scores(engine, sources, [output.tokens for output in written])
    return tuple(
        Golden(
            input=line,
            input_tokens=tokens,
            output=output.text,
            output_tokens=output.tokens,
            score=score,
        )
        for (line, tokens), output, score in zip(inputs, written, scores, strict=True)
    )


def check(
    engine: Subject[OptionsT_contra],
    manifest: Manifest,
    greedy: OptionsT_contra,
    mode: Mode = "tolerant",
    texts: int | None = None,
) -> CanaryReport:
    """Compare a loaded model with the one that was built.

    Args:
        engine: with the model.
        manifest: of the bundle the model was loaded from.
        greedy: the options golden outputs were recorded with.
        mode: `strict` also refuses a model whose golden outputs have another text.
        texts: outputs to write again; None: all in strict mode, else a few.
    """
    goldens = manifest.golden
    differences = _tokenization(engine, manifest)
    sources = [golden.input_tokens for golden in goldens]
    scores = _mean_scores(engine, sources, [golden.output_tokens for golden in goldens])
    shifts = [now - golden.score for now, golden in zip(scores, goldens, strict=True)]
    differences += _moved(goldens, shifts, tolerance(manifest.quantization, engine.compute_type))
    compared = (
        goldens if mode == "strict" else goldens[: TEXTS_COMPARED if texts is None else texts]
    )
    changed = _changed(engine, compared, greedy)
    if changed and mode == "strict":
        differences.append(f"{len(changed)} of {len(goldens)} golden outputs have another text")
    largest = max((abs(shift) for shift in shifts), default=0.0)
    mean = fmean(shifts) if shifts else 0.0
    return CanaryReport(tuple(differences), changed, len(goldens), largest, mean, len(compared))


def _changed(
    engine: Subject[OptionsT_contra], goldens: Sequence[Golden], greedy: OptionsT_contra
) -> tuple[str, ...]:
    """Inputs whose output has another text than recorded."""
    outputs = engine.generate([golden.input_tokens for golden in goldens], greedy)
    pairs = zip(outputs, goldens, strict=True)
    return tuple(golden.input for output, golden in pairs if output.text != golden.output)


def tolerance(quantization: Quantization, compute_type: str) -> Tolerance:
    """How far scores may move for weights of one kind computed in another."""
    exact = quantization is Quantization.FLOAT32 and compute_type == "float32"
    return EXACT if exact else ROUNDED


def _tokenization(engine: Subject[OptionsT_contra], manifest: Manifest) -> list[str]:
    now = engine.tokenize([golden.input for golden in manifest.golden])
    prefixes = frozenset(manifest.target_tokens.values())
    differences = []
    for golden, tokens in zip(manifest.golden, now, strict=True):
        recorded = golden.input_tokens
        # A target token stands before the pieces of the text, and is no part of it.
        if tokens != (recorded[1:] if recorded[0] in prefixes else recorded):
            differences.append(f"the pieces of {golden.input!r} differ: {' '.join(tokens)}")
    return differences


def _mean_scores(
    engine: Subject[OptionsT_contra], sources: Sequence[Tokens], targets: Sequence[Tokens]
) -> list[float]:
    return [fmean(row) for row in engine.score(sources, targets)]


def _moved(goldens: Sequence[Golden], shifts: Sequence[float], allowed: Tolerance) -> list[str]:
    # Written so that a score that is not a number is refused too.
    moved = [
        f"the score of {golden.input!r} moved by {shift:+.4f} a token; {allowed.golden} is allowed"
        for golden, shift in zip(goldens, shifts, strict=True)
        if not abs(shift) <= allowed.golden
    ]
    if shifts and not abs(mean := fmean(shifts)) <= allowed.mean:
        moved.append(f"the mean score moved by {mean:+.4f} a token; {allowed.mean} is allowed")
    return moved
