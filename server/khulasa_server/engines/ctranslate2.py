"""The engine that serves: CTranslate2, without torch."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import ctranslate2

from khulasa_server.bundles.manifest import MODEL_DIRECTORY
from khulasa_server.engines import trials
from khulasa_server.engines.base import (
    END,
    EngineError,
    Finish,
    Generation,
    GenerationOptions,
)
from khulasa_server.engines.checks import generate_nonempty, model_rows, scored_rows
from khulasa_server.engines.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Timing, Tokens

_DECODING: Final[dict[str, Any]] = {
    # The scheduler's batch is run as it is.
    "max_batch_size": 0,
    "batch_type": "examples",
    "asynchronous": False,
    "callback": None,
    # Too long is refused before; here nothing is ever cut.
    "max_input_length": 0,
    # 1 would ban the end of sequence at the first step.
    "min_decoding_length": 0,
    # Search ends at `beam_size` finished hypotheses; the best is returned.
    "patience": 1,
    "num_hypotheses": 1,
    "return_alternatives": False,
    "min_alternative_expansion_prob": 0,
    "sampling_topk": 1,
    "sampling_topp": 1,
    "sampling_temperature": 1,
    # The model's own distribution: nothing banned but repeated n-grams, nothing favoured.
    "coverage_penalty": 0,
    "disable_unk": False,
    "suppress_sequences": None,
    "prefix_bias_beta": 0,
    "use_vmap": False,
    "replace_unknowns": False,
    # The end token, kept in the result, tells a finished output from a cut one.
    "end_token": None,
    "return_end_token": True,
    "return_scores": True,
    "return_attention": False,
    "return_logits_vocab": False,
}

_SCORED_TOGETHER: Final = 4
"""Scores need a whole distribution for every token of a batch: of 16 outputs over 40,000 pieces
they took 80 MB, and one worker only."""


class CTranslate2Engine:
    """One bundle, loaded once and shared by its workers.

    Args:
        directory: the bundle.
        manifest: of the bundle.
        workers: calls that run at the same time; more of them wait.
        threads: OpenMP threads of each.

    Raises:
        EngineError: the model or its tokenizer cannot be loaded.
    """

    name: Final = "ctranslate2"

    def __init__(self, directory: Path, manifest: Manifest, *, workers: int, threads: int) -> None:
        self._manifest = manifest
        self._pieces = Pieces.of_bundle(directory, manifest)
        self._translator: Any = None
        with _failures(f"cannot load {directory}"):
            self._translator = ctranslate2.Translator(
                str(directory / MODEL_DIRECTORY),
                device="cpu",
                device_index=0,
                compute_type="default",
                inter_threads=workers,
                intra_threads=threads,
                max_queued_batches=0,
                flash_attention=False,
                tensor_parallel=False,
                files=None,
            )
        self.compute_type: str = self._translator.compute_type

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Pieces of each text, end of sequence appended; never cut.

        Raises:
            EngineInputError: a text holds a lone surrogate.
        """
        return self._pieces.encode(texts)

    def generate(self, batch: Sequence[Tokens], options: GenerationOptions) -> list[Generation]:
        """Output of each input, in the order given.

        Raises:
            EngineInputError: see `Engine.generate`.
            EngineError: CTranslate2 failed, or the engine is closed.
        """
        rows = model_rows(batch, options, self._manifest)
        translator = self._open()
        return generate_nonempty(batch, rows, lambda rows: self._run(translator, rows, options))

    def score(self, batch: Sequence[Tokens], targets: Sequence[Tokens]) -> list[list[float]]:
        """Teacher-forced log-probability of each target token, end of sequence last.

        Raises:
            EngineInputError: an input or a target is longer than the model's positions.
            EngineError: CTranslate2 failed, or the engine is closed.
        """
        rows, wanted = scored_rows(batch, targets, self._manifest.limits)
        with _failures("score_batch failed"):
            results = self._open().score_batch(
                rows,
                wanted,
                max_batch_size=_SCORED_TOGETHER,
                batch_type="examples",
                max_input_length=0,
                offset=0,
                asynchronous=False,
            )
        return [list(result.log_probs) for result in results]

    def warm_up(self, workers: int = 1) -> tuple[Timing, ...]:
        """Run the longest input and a batch of sentences on `workers` workers at once."""
        return trials.warm_up(self, self._manifest, workers)

    def close(self) -> None:
        """Free the model's memory once running calls have returned."""
        self._translator = None

    def _run(
        self,
        translator: Any,  # noqa: ANN401 - CTranslate2 has no types
        rows: list[list[str]],
        options: GenerationOptions,
    ) -> list[Generation]:
        with _failures("translate_batch failed"):
            results = translator.translate_batch(
                rows,
                None,
                beam_size=options.beam_size,
                length_penalty=options.length_penalty,
                repetition_penalty=options.repetition_penalty,
                no_repeat_ngram_size=options.no_repeat_ngram_size,
                max_decoding_length=options.max_output_tokens,
                **_DECODING,
            )
        return self._generations(results, options.length_penalty)

    def _open(self) -> Any:  # noqa: ANN401 - CTranslate2 has no types
        # Read once: the caller's reference keeps the model alive while another thread closes it.
        translator = self._translator
        if translator is None:
            raise EngineError("the engine is closed")
        return translator

    def _generations(self, results: Sequence[Any], length_penalty: float) -> list[Generation]:
        written = [tuple(result.hypotheses[0]) for result in results]
        ended = [tokens[-1:] == (END,) for tokens in written]
        outputs = [
            tokens[:-1] if end else tokens for tokens, end in zip(written, ended, strict=True)
        ]
        return [
            Generation(
                text=text,
                tokens=tokens,
                score=_mean_log_probability(
                    result.scores[0], len(tokens) + end, length_penalty=length_penalty
                ),
                finish=Finish.END if end else Finish.LENGTH,
            )
            for text, tokens, end, result in zip(
                self._pieces.decode(outputs), outputs, ended, results, strict=True
            )
        ]


def _mean_log_probability(score: float, steps: int, *, length_penalty: float) -> float:
    """Undo CTranslate2's `sum / steps ** penalty`, where the end token is a step, too."""
    return score * math.pow(steps, length_penalty - 1)


@contextmanager
def _failures(what: str) -> Iterator[None]:
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"{what}: {error}") from error
