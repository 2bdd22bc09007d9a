"""The reference: the authors' checkpoint in transformers, for comparison and never for serving."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import sentencepiece
import torch
from huggingface_hub import snapshot_download
from transformers import AutoModelForSeq2SeqLM, GenerationConfig

from khulasa_server.bundles.manifest import Architecture
from khulasa_server.engines.base import (
    END,
    UNKNOWN,
    EngineError,
    Finish,
    Generation,
    GenerationOptions,
)
from khulasa_server.engines.checks import generate_nonempty, model_rows, scored_rows
from khulasa_server.engines.pieces import Pieces, collapse_whitespace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Timing, Tokens

_OTHER_FRAMEWORKS = ["*.h5", "*.msgpack", "*.ot"]


class TransformersEngine:
    """One checkpoint in float32; one call at a time.

    Beam search ends at `beam_size` finished hypotheses (`early_stopping=True`) and scores are
    normalized after bans (`renormalize_logits=True`), as CTranslate2 does both.

    Args:
        directory: the checkpoint in Hugging Face layout; or the bundle, if that was built from
            the Hub: then the revision that it names is fetched, or found in the Hub's cache.
        manifest: of the bundle built from it.
        threads: of torch, in the whole process.

    Raises:
        EngineError: the checkpoint cannot be loaded.
    """

    name: Final = "transformers"
    compute_type: Final = "float32"

    def __init__(self, directory: Path, manifest: Manifest, *, threads: int) -> None:
        torch.set_num_threads(threads)
        self._manifest = manifest
        self._lock = Lock()
        try:
            directory = _checkpoint(directory, manifest)
            model: Any = AutoModelForSeq2SeqLM.from_pretrained(
                directory, dtype=torch.float32, local_files_only=True
            )
            self._vocabulary = _vocabulary(directory, manifest, model.config)
        except Exception as error:
            raise EngineError(f"cannot load {directory}: {error}") from error
        self._pieces = _pieces(directory, manifest)
        self._model: Any = model.eval()
        self._start = int(model.config.decoder_start_token_id)
        self._pad = int(model.config.pad_token_id)
        self._end = int(model.config.eos_token_id)
        self._marian = manifest.architecture is Architecture.MARIAN
        # Whatever `generate` is not told it reads here: the checkpoint's defaults are not wanted.
        self._model.generation_config = GenerationConfig(
            decoder_start_token_id=self._start,
            pad_token_id=self._pad,
            eos_token_id=self._end,
        )

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
            EngineError: transformers failed, or the engine is closed.
        """
        rows = model_rows(batch, options, self._manifest)
        return generate_nonempty(batch, rows, lambda rows: self._run(rows, options))

    def score(self, batch: Sequence[Tokens], targets: Sequence[Tokens]) -> list[list[float]]:
        """Teacher-forced log-probability of each target token, end of sequence last.

        Raises:
            EngineInputError: an input or a target is longer than the model's positions.
            EngineError: transformers failed, or the engine is closed.
        """
        rows, wanted = scored_rows(batch, targets, self._manifest.limits)
        if not rows:
            return []
        labels = [[*self._vocabulary.target_ids(target), self._end] for target in wanted]
        with self._lock, torch.inference_mode():
            read = _padded([[self._start, *row[:-1]] for row in labels], self._pad)
            try:
                logits = self._open()(**self._inputs(rows), decoder_input_ids=read).logits
            except Exception as error:
                raise EngineError(f"scoring failed: {error}") from error
            if self._marian:
                logits[..., self._pad] = -torch.inf
            chances = logits.log_softmax(-1)
        return [
            [float(chances[index, step, token]) for step, token in enumerate(row)]
            for index, row in enumerate(labels)
        ]

    def warm_up(self, workers: int = 1) -> tuple[Timing, ...]:
        """Run once; calls do not run side by side here."""
        del workers
        self.generate([(UNKNOWN, END)], GenerationOptions(beam_size=1, max_output_tokens=1))
        return ()

    def close(self) -> None:
        """Free the model's memory once the running call has returned."""
        with self._lock:
            self._model = None

    def _run(self, rows: list[list[str]], options: GenerationOptions) -> list[Generation]:
        with self._lock, torch.inference_mode():
            model = self._open()
            try:
                written = model.generate(
                    **self._inputs(rows), generation_config=self._config(options)
                )
                steps = model.compute_transition_scores(
                    written.sequences,
                    written.scores,
                    written.get("beam_indices"),
                    normalize_logits=False,
                )
            except Exception as error:
                raise EngineError(f"generate failed: {error}") from error
        return self._generations(written.sequences[:, 1:].tolist(), steps.tolist())

    def _open(self) -> Any:  # noqa: ANN401 - transformers is not always there to be typed
        if self._model is None:
            raise EngineError("the engine is closed")
        return self._model

    def _inputs(self, rows: Sequence[Sequence[str]]) -> dict[str, Any]:
        numbers = [self._vocabulary.source_ids(row) for row in rows]
        mask = _padded([[1] * len(row) for row in numbers], 0)
        return {"input_ids": _padded(numbers, self._pad), "attention_mask": mask}

    def _config(self, options: GenerationOptions) -> Any:  # noqa: ANN401 - transformers is not always there to be typed
        return GenerationConfig(
            num_beams=options.beam_size,
            early_stopping=options.beam_size > 1,
            max_new_tokens=options.max_output_tokens,
            # Greedy search has no use for it, and transformers says so on every call.
            length_penalty=options.length_penalty if options.beam_size > 1 else 1.0,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            repetition_penalty=options.repetition_penalty,
            # A Marian bundle cannot write its start token.
            bad_words_ids=[[self._pad]] if self._marian else None,
            renormalize_logits=True,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )

    def _generations(
        self, sequences: Sequence[Sequence[int]], steps: Sequence[Sequence[float]]
    ) -> list[Generation]:
        ended = [self._end in numbers for numbers in sequences]
        lengths = [
            numbers.index(self._end) if end else len(numbers)
            for numbers, end in zip(sequences, ended, strict=True)
        ]
        outputs = [
            self._vocabulary.target_pieces(numbers[:length])
            for numbers, length in zip(sequences, lengths, strict=True)
        ]
        return [
            Generation(
                text=text,
                tokens=tokens,
                score=sum(scores[: length + end]) / (length + end),
                finish=Finish.END if end else Finish.LENGTH,
            )
            for text, tokens, scores, length, end in zip(
                self._pieces.decode(outputs), outputs, steps, lengths, ended, strict=True
            )
        ]


def _checkpoint(directory: Path, manifest: Manifest) -> Path:
    source = manifest.source
    if (directory / "config.json").is_file() or source.revision.startswith("sha256:"):
        return directory
    return Path(
        snapshot_download(
            source.repository, revision=source.revision, ignore_patterns=_OTHER_FRAMEWORKS
        )
    )


class _Vocabulary:
    """Pieces and their rows in the checkpoint's matrices."""

    def __init__(self, source: Mapping[str, int], target: Mapping[str, int]) -> None:
        self._source, self._target = source, target
        self._pieces = {number: piece for piece, number in target.items()}

    def source_ids(self, pieces: Sequence[str]) -> list[int]:
        return [self._source.get(piece, self._source[UNKNOWN]) for piece in pieces]

    def target_ids(self, pieces: Sequence[str]) -> list[int]:
        return [self._target.get(piece, self._target[UNKNOWN]) for piece in pieces]

    def target_pieces(self, numbers: Sequence[int]) -> Tokens:
        return tuple(self._pieces[number] for number in numbers)


def _vocabulary(directory: Path, manifest: Manifest, config: Any) -> _Vocabulary:  # noqa: ANN401 - transformers is not always there to be typed
    if manifest.architecture is Architecture.MARIAN:
        source = json.loads((directory / "vocab.json").read_bytes())
        separate = directory / "target_vocab.json"
        return _Vocabulary(
            source, json.loads(separate.read_bytes()) if separate.exists() else source
        )
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(_tokenizer_file(directory, manifest.tokenizer.source))
    )
    pieces = [processor.id_to_piece(number) for number in range(len(processor))]
    padding = [f"<extra_id_{number}>" for number in range(config.vocab_size - len(pieces))]
    numbers = {piece: number for number, piece in enumerate([*pieces, *padding])}
    return _Vocabulary(numbers, numbers)


def _pieces(directory: Path, manifest: Manifest) -> Pieces:
    collapse = manifest.tokenizer.preprocessing == "collapse_whitespace"
    return Pieces(
        _tokenizer_file(directory, manifest.tokenizer.source),
        _tokenizer_file(directory, manifest.tokenizer.target),
        collapse_whitespace if collapse else None,
    )


def _tokenizer_file(directory: Path, path_in_bundle: str) -> Path:
    """A checkpoint keeps its tokenizer beside its weights."""
    return directory / Path(path_in_bundle).name


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Any:  # noqa: ANN401 - torch is not always there to be typed
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])
