"""How good a model is on text with references: outputs, scores, throughput; resumable."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING

from khulasa_server.bundles import scoring
from khulasa_server.bundles.errors import EvaluationError
from khulasa_server.bundles.manifest import Manifest, Task
from khulasa_server.bundles.scoring import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from khulasa_server.bundles.canary import OptionsT_contra, Subject

BATCH_ITEMS = 16


@dataclass(frozen=True, slots=True)
class Pair:
    """A text and what people made of it.

    Args:
        id: different from all others.
        source: input.
        reference: the translation or summary it is compared with.
    """

    id: str
    source: str
    reference: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model made of one pair.

    Args:
        id: of the pair.
        source: input.
        reference: what it is compared with.
        output: what the model wrote.
        tokens: pieces it wrote.
        cut: input pieces that did not fit the model's window and were left out.
        seconds: its part of the batch's run time.
        scores: metric → this answer's own score, 0 to 100.
    """

    id: str
    source: str
    reference: str
    output: str
    tokens: int
    cut: int
    seconds: float
    scores: dict[str, float] = field(default_factory=dict)


def read_pairs(path: Path) -> list[Pair]:
    """Pairs from `.tsv` (text TAB reference) or `.jsonl` (`text`, `summary`, maybe `id`).

    Raises:
        EvaluationError: the file is neither, or a line lacks a field; the message says which.
    """
    readers = {".tsv": _tsv, ".jsonl": _jsonl}
    if path.suffix not in readers:
        raise EvaluationError(f"{path} is neither .tsv nor .jsonl")
    pairs = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            pairs.append(readers[path.suffix](str(number), line))
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationError(f"{path}, line {number}, is no pair: {error}") from error
    if not pairs:
        raise EvaluationError(f"{path} is empty")
    return pairs


def _tsv(number: str, line: str) -> Pair:
    source, reference = line.split("\t")[:2]
    return Pair(number, source, reference)


def _jsonl(number: str, line: str) -> Pair:
    content = json.loads(line)
    return Pair(str(content.get("id", number)), content["text"], content["summary"])


def evaluate(
    engine: Subject[OptionsT_contra],
    manifest: Manifest,
    pairs: Sequence[Pair],
    options: OptionsT_contra,
    *,
    language: str = "",
    report: Path | None = None,
    done: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Answer]:
    """Let a model answer every pair.

    Args:
        engine: with the model.
        manifest: of its bundle.
        pairs: what to answer.
        options: generation options.
        language: BCP-47 code of the references; empty: see `written_in`.
        report: JSON lines, one an answer; what is there already is not computed again.
        done: told how many more are answered.
        clock: monotonic seconds.

    Returns:
        One answer a pair, in order.

    Raises:
        EvaluationError: the report is of another bundle.
    """
    language = language or written_in(manifest)
    judge = scoring.judge(manifest.task, language)
    head = {"bundle": manifest.digest, "options": repr(options), "language": language}
    answers = _resume(report, head) if report else {}
    todo = [pair for pair in pairs if pair.id not in answers]
    done(len(pairs) - len(todo))
    # Of like lengths, so that little is computed for padding.
    todo.sort(key=lambda pair: len(pair.source))
    for start in range(0, len(todo), BATCH_ITEMS):
        batch = todo[start : start + BATCH_ITEMS]
        for unscored in _answer(engine, manifest, batch, options, clock):
            answer = replace(unscored, scores=judge(unscored.output, unscored.reference))
            answers[answer.id] = answer
            if report:
                _append(report, asdict(answer))
        done(len(batch))
    return [answers[pair.id] for pair in pairs]


def _answer(
    engine: Subject[OptionsT_contra],
    manifest: Manifest,
    batch: Sequence[Pair],
    options: OptionsT_contra,
    clock: Callable[[], float],
) -> Iterator[Answer]:
    window = manifest.limits.max_input_tokens
    tokenized = engine.tokenize([pair.source for pair in batch])
    cut = [_fitting(tokens, window) for tokens in tokenized]
    started = clock()
    outputs = engine.generate(cut, options)
    seconds = (clock() - started) / len(batch)
    for pair, tokens, kept, output in zip(batch, tokenized, cut, outputs, strict=True):
        yield Answer(
            id=pair.id,
            source=pair.source,
            reference=pair.reference,
            output=output.text,
            tokens=len(output.tokens),
            cut=len(tokens) - len(kept),
            seconds=seconds,
        )


def _fitting(tokens: tuple[str, ...], window: int) -> tuple[str, ...]:
    """The beginning that fits a window, end of sequence kept."""
    return tokens if len(tokens) <= window else (*tokens[: window - 1], tokens[-1])


def _resume(report: Path, head: dict[str, str]) -> dict[str, Answer]:
    if not report.exists():
        _append(report, head)
        return {}
    text = report.read_text("utf-8")
    if not text.endswith("\n"):
        # A process was killed while it wrote: what it began is no answer.
        text = text[: text.rfind("\n") + 1]
        report.write_text(text, "utf-8")
    first, *rest = text.splitlines() or ["{}"]
    if json.loads(first) != head:
        raise EvaluationError(f"{report} is of another bundle or other options: remove it first")
    answers = [Answer(**json.loads(line)) for line in rest]
    return {answer.id: answer for answer in answers}


def _append(report: Path, content: object) -> None:
    with report.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(content, ensure_ascii=False) + "\n")


def written_in(manifest: Manifest) -> str:
    """The language a model is judged in unless another is named.

    Arabic of a summarizer and English of a translator, else the first that it writes.
    """
    usual = "en" if manifest.task is Task.TRANSLATE else "ar"
    codes = manifest.target_language_codes
    return usual if usual in codes else codes[0]


def figures(manifest: Manifest, answers: Sequence[Answer], language: str = "") -> list[Figure]:
    """Scores of all answers, with their signatures, and throughput.

    Args:
        manifest: of the bundle.
        answers: to every pair.
        language: of the references; empty: see `written_in`.
    """
    outputs = [answer.output for answer in answers]
    references = [answer.reference for answer in answers]
    language = language or written_in(manifest)
    return [
        *scoring.figures(manifest.task, outputs, references, language),
        *_throughput(answers),
    ]


def _throughput(answers: Sequence[Answer]) -> list[Figure]:
    seconds = sum(answer.seconds for answer in answers) or float("inf")
    return [
        Figure("texts", len(answers)),
        Figure("cut texts", sum(answer.cut > 0 for answer in answers)),
        Figure("mean output tokens", fmean(answer.tokens for answer in answers)),
        Figure("texts per second", len(answers) / seconds),
        Figure("output tokens per second", sum(answer.tokens for answer in answers) / seconds),
    ]
