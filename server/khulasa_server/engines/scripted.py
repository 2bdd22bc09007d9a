"""A deterministic engine for tests: no model, no arithmetic, and it misbehaves on request."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from khulasa_server.bundles.manifest import Task
from khulasa_server.engines.base import (
    END,
    EngineError,
    EngineInputError,
    Finish,
    Generation,
    GenerationOptions,
)
from khulasa_server.engines.checks import (
    generate_nonempty,
    model_rows,
    refuse_unencodable,
    scored_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Timing, Tokens

_WORD = "▁"
# Shorter than every control token, so that no text can spell one.
_PIECE_CODE_POINTS = 3
_REMEMBERED_CALLS = 1_000

_ARABIC = "ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئةى"
_LATIN = "abtvjHxdDrzscSPTZEgfqklmnhwyCAOUIYGe"
_TO_LATIN = str.maketrans(_ARABIC, _LATIN)
_TO_ARABIC = str.maketrans(_LATIN, _ARABIC)


def transliterate(text: str) -> str:
    """Each Arabic letter as one Latin letter; everything else as it is."""
    return text.translate(_TO_LATIN)


def restore(text: str) -> str:
    """What `transliterate` made of a text without Latin letters, undone."""
    return text.translate(_TO_ARABIC)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of `generate`.

    Args:
        batch: its inputs.
        options: its options.
    """

    batch: tuple[Tokens, ...]
    options: GenerationOptions


def _nothing(call: Call) -> None:
    """Run at once."""


@dataclass(frozen=True, slots=True)
class Script:
    """How a scripted engine departs from its mapping.

    An input misbehaves if its text holds one of the words of a set.

    Args:
        before: called in the worker thread before a batch is computed: block on an event, move
            a clock on, or raise.
        poison: the whole batch fails with EngineError.
        unrunnable: the input is refused with EngineInputError.
        silent: the output is empty.
        cut: the output stops half-way, at LENGTH.
        looping: the first piece is repeated to `max_output_tokens`, unless a ban on repetition
            is among the options.
        stubborn: the same, whatever the options.
        summary_pieces: pieces of a summary.
    """

    before: Callable[[Call], None] = _nothing
    poison: frozenset[str] = frozenset()
    unrunnable: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    looping: frozenset[str] = frozenset()
    stubborn: frozenset[str] = frozenset()
    summary_pieces: int = 24


class ScriptedEngine:
    """Transliterates where a model would translate, quotes the beginning where it would summarize.

    Every output depends on its own input and the options alone. `calls` holds the last thousand
    calls of `generate`, failed ones too, in the order they began.

    Args:
        manifest: whose task, limits and target tokens are obeyed.
        script: how to misbehave.
    """

    name: Final = "scripted"
    compute_type: Final = "none"

    def __init__(self, manifest: Manifest, script: Script | None = None) -> None:
        self._manifest = manifest
        self._script = script or Script()
        self._closed = False
        self.calls: deque[Call] = deque(maxlen=_REMEMBERED_CALLS)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Words of each text in pieces of at most three code points, end of sequence appended.

        Raises:
            EngineInputError: a text holds a lone surrogate.
        """
        refuse_unencodable(texts)
        return [
            (*(piece for word in text.split() for piece in _pieces(word)), END) for text in texts
        ]

    def generate(self, batch: Sequence[Tokens], options: GenerationOptions) -> list[Generation]:
        """Output of each input, in the order given.

        Raises:
            EngineInputError: see `Engine.generate`, or the script says so.
            EngineError: the engine is closed, or the script says so.
        """
        rows = model_rows(batch, options, self._manifest)
        call = Call(tuple(batch), options)
        self.calls.append(call)
        self._script.before(call)
        self._refuse_open_and_scripted(batch)
        prefix = 1 if options.target_token else 0
        return generate_nonempty(
            batch,
            rows,
            lambda rows: [self._generation(tuple(row[prefix:]), options) for row in rows],
        )

    def score(self, batch: Sequence[Tokens], targets: Sequence[Tokens]) -> list[list[float]]:
        """Log-probability of each target token, end of sequence last: a function of the token.

        Raises:
            EngineInputError: an input or a target is longer than the manifest allows.
            EngineError: the engine is closed.
        """
        self._refuse_closed()
        _, wanted = scored_rows(batch, targets, self._manifest.limits)
        return [[log_probability(token) for token in (*target, END)] for target in wanted]

    def warm_up(self, workers: int = 1) -> tuple[Timing, ...]:
        """Nothing gets faster by it."""
        del workers
        self._refuse_closed()
        return ()

    def close(self) -> None:
        """Refuse all later calls."""
        self._closed = True

    def _refuse_closed(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed")

    def _refuse_open_and_scripted(self, batch: Sequence[Tokens]) -> None:
        self._refuse_closed()
        for index, tokens in enumerate(batch):
            text = _text(tokens)
            if _holds(text, self._script.unrunnable):
                raise EngineInputError("the script refuses this input", index=index)
            if _holds(text, self._script.poison):
                raise EngineError("the script fails this batch")

    def _generation(self, tokens: Tokens, options: GenerationOptions) -> Generation:
        whole = self._output(_text(tokens), options)
        kept = tuple(islice(whole, options.max_output_tokens))
        cut = _holds(_text(tokens), self._script.cut)
        if cut:
            kept = kept[: max(1, len(kept) // 2)]
        # As in a model, the last step is needed to write the end of sequence.
        ended = not cut and len(whole) < options.max_output_tokens
        scored = (*kept, END) if ended else kept
        return Generation(
            text=_text(kept),
            tokens=kept,
            score=sum(map(log_probability, scored)) / len(scored),
            finish=Finish.END if ended else Finish.LENGTH,
        )

    def _output(self, text: str, options: GenerationOptions) -> Tokens:
        script = self._script
        if _holds(text, script.silent):
            return ()
        mapped = self._mapped(text)
        banned = options.no_repeat_ngram_size > 0 or options.repetition_penalty > 1
        if _holds(text, script.stubborn) or (_holds(text, script.looping) and not banned):
            return mapped[:1] * options.max_output_tokens
        return mapped

    def _mapped(self, text: str) -> Tokens:
        if self._manifest.task is Task.SUMMARIZE:
            return self.tokenize([text])[0][:-1][: self._script.summary_pieces]
        return self.tokenize([transliterate(text)])[0][:-1]


def log_probability(token: str) -> float:
    """The scripted log-probability of a token, between -1 and 0, a function of its spelling."""
    return -(1 + zlib.crc32(token.encode()) % 999) / 1000


def _pieces(word: str) -> list[str]:
    parts = [
        word[start : start + _PIECE_CODE_POINTS]
        for start in range(0, len(word), _PIECE_CODE_POINTS)
    ]
    return [_WORD + parts[0], *parts[1:]]


def _text(tokens: Sequence[str]) -> str:
    joined = "".join(token for token in tokens if token != END)
    return joined.replace(_WORD, " ").strip(" ")


def _holds(text: str, words: frozenset[str]) -> bool:
    return any(word in text for word in words)
