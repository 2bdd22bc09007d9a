"""What every engine does, and the plain values that cross its border."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

Tokens = tuple[str, ...]
"""Pieces of one model input, end-of-sequence token included; to the model, a piece that its
vocabulary lacks is `<unk>`."""

END = "</s>"
"""The end-of-sequence token of both families of models."""
UNKNOWN = "<unk>"
"""What a piece outside the vocabulary is to the model."""


class Finish(Enum):
    """Why a generation ended."""

    END = "end"
    """The model wrote its end-of-sequence token."""
    LENGTH = "length"
    """`max_output_tokens` was reached first: the text is cut."""


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """Options of one engine call; items share a batch only if theirs are equal.

    Args:
        beam_size: beams, 1 to 16; 1 is greedy.
        max_output_tokens: most tokens written, end of sequence not counted; at least 1.
            Decoding stops after so many steps, so a text of exactly this length is `LENGTH`:
            the model had no step left to say that it is complete.
        length_penalty: exponent of the length that divides a beam's score; 0 turns it off.
        no_repeat_ngram_size: no n-gram of this size is written twice; 0 turns it off.
        repetition_penalty: above 1, already written tokens become less likely.
        target_token: token that selects the target language (`>>eng<<`); empty where the
            model has one target.
    """

    beam_size: int = 4
    max_output_tokens: int = 256
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    target_token: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """One output.

    Args:
        text: the output, detokenized.
        tokens: its pieces, without end of sequence.
        score: mean log-probability per output token, end of sequence counted where it was
            written, length penalty 1; 0.0 for an output without any token. Bans share out the
            banned tokens' probability, so under one it is above the teacher-forced score.
        finish: why it ended.
    """

    text: str
    tokens: Tokens
    score: float
    finish: Finish

    @property
    def output_tokens(self) -> int:
        """Tokens the model computed, end of sequence included where it was written."""
        return len(self.tokens) + (self.finish is Finish.END)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a batch took.

    Args:
        items: inputs in it.
        longest: tokens of the longest input.
        steps: tokens of the longest output.
        written: tokens of all outputs.
        beam_size: of its generation.
        seconds: in the worker thread.
    """

    items: int
    longest: int
    steps: int
    written: int
    beam_size: int
    seconds: float


class Engine(Protocol):
    """One loaded model.

    `tokenize`, `generate` and `score` may be called from several threads at once, block, and
    must never be called on the event loop, except `tokenize` for short texts.
    """

    @property
    def name(self) -> str:
        """The implementation: `ctranslate2`, `transformers` or `scripted`."""
        ...

    @property
    def compute_type(self) -> str:
        """Arithmetic actually used: `int8_float32`, `float32` and so on."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Pieces of each text, end of sequence appended; never cut.

        Raises:
            EngineInputError: a text holds a lone surrogate.
        """
        ...

    def generate(self, batch: Sequence[Tokens], options: GenerationOptions) -> list[Generation]:
        """Output of each input, in the order given; empty for an input without any piece.

        Raises:
            EngineInputError: an input, or what is asked for, is longer than the model's
                positions, or the target token is not one of the model's.
            EngineError: the engine failed; nothing of the batch was computed.
        """
        ...

    def score(self, batch: Sequence[Tokens], targets: Sequence[Tokens]) -> list[list[float]]:
        """Teacher-forced log-probability of each target token, end of sequence last.

        Rows of `batch` are what the model reads: for a model with several targets, the token
        of one stands in front already. `targets` hold no end of sequence; each row of the
        result is one longer than its target. No option changes these scores.

        Raises:
            EngineInputError: an input or a target is longer than the model's positions.
            EngineError: the engine failed.
        """
        ...

    def warm_up(self, workers: int = 1) -> tuple[Timing, ...]:
        """Run at the sizes that matter, so that the first caller does not pay for it.

        Args:
            workers: calls that run at the same time.

        Returns how long warm batches took; empty where that says nothing about later ones.
        """
        ...

    def close(self) -> None:
        """Free the model's memory; later calls raise EngineError."""
        ...


class EngineError(Exception):
    """The engine failed."""


class EngineInputError(EngineError):
    """One input can never be run, whatever it is batched with.

    Args:
        message: what is wrong with it.
        index: its place in the batch; None: every input of the batch is meant.
    """

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index
