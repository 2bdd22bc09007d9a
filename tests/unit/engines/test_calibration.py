"""The choice of threads from what was measured, and the file that keeps it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines import calibration
from khulasa_server.engines.calibration import (
    Choice,
    Comparison,
    Speed,
    candidates,
    choose,
    keep,
    recall,
)

if TYPE_CHECKING:
    from pathlib import Path

CHOICE = Choice(threads=1, lone_threads=2, gain=1.5, reason="measured")


@pytest.mark.parametrize(
    ("cores", "threads"),
    [(1, [1]), (2, [1, 2]), (3, [1, 3]), (4, [1, 2, 4]), (6, [1, 2, 6]), (64, [1, 2, 4, 8])],
)
def test_batches_fill_the_cores(cores: int, threads: list[int]) -> None:
    """A number of threads that would leave a core idle is no candidate; nor are very many."""
    assert candidates(cores) == threads


def compared(
    threads: int, sentences: tuple[float, ...] = (1.0,), long: tuple[float, ...] = (1.0,)
) -> Comparison:
    """Rounds in which more threads are so many times faster."""
    rounds = zip(sentences, long, strict=True)
    return Comparison(threads, tuple((Speed(50, 2), Speed(50 * s, 2 / t)) for s, t in rounds))


@pytest.mark.parametrize(
    ("sentences", "threads"), [((1.05, 3.0), 1), ((1.11, 1.2), 2), ((0.5, 0.6), 1)]
)
def test_one_thread_a_batch_unless_more_are_clearly_better(
    sentences: tuple[float, ...], threads: int
) -> None:
    """In the worst round a tenth more sentences a second is worth an exchange, less is noise."""
    comparison = compared(2, sentences, (1.0, 1.0))
    assert choose([comparison], 2, long_inputs=False).threads == threads


def test_the_best_of_several_is_taken() -> None:
    """With all figures told."""
    choice = choose([compared(2, (1.2,)), compared(4, (1.3,))], 4, long_inputs=False)
    assert choice == Choice(
        threads=4,
        reason="2x2 against 4x1: 1.20 to 1.20 times the sentences a second, a long input alone "
        "1.00 to 1.00 times as fast; 1x4 against 4x1: 1.30 to 1.30 times the sentences a second, "
        "a long input alone 1.00 to 1.00 times as fast",
    )


@pytest.mark.parametrize(
    ("long", "lone"), [((1.29, 1.9), 0), ((1.31, 1.4), 2)], ids=["less", "enough"]
)
def test_a_long_input_has_more_threads_if_it_gains_enough(
    long: tuple[float, ...], lone: int
) -> None:
    """From 1.3 times on, in the worst round; the gain is kept with the choice."""
    choice = choose([compared(2, (0.6, 0.6), long)], 2, long_inputs=True)
    assert (choice.threads, choice.lone_threads) == (1, lone)
    assert choice.gain == pytest.approx(1.31 if lone else 1.0)


def test_a_model_of_sentences_has_no_long_inputs() -> None:
    """A document is split, and its sentences are spread over the workers."""
    assert choose([compared(2, (0.6,), (2.0,))], 2, long_inputs=False).lone_threads == 0


def test_no_second_engine_like_the_first() -> None:
    """Where batches have more threads anyway, a lone input must gain by more still."""
    assert choose([compared(2, (2.0,), (2.0,))], 2, long_inputs=True).lone_threads == 0
    both = [compared(2, (2.0,), (1.5,)), compared(4, (1.5,), (2.4,))]
    choice = choose(both, 4, long_inputs=True)
    assert (choice.threads, choice.lone_threads) == (2, 4)
    assert choice.gain == pytest.approx(1.6)


def test_one_core_leaves_no_choice() -> None:
    """Nothing is compared, and one thread it is."""
    assert choose([], 1, long_inputs=True) == Choice(threads=1)


def test_a_choice_is_kept_for_processor_cores_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found again for the same of all three, and for nothing else."""
    path = tmp_path / "new" / "file.json"
    keep(path, "sha256:1", 2, CHOICE)
    keep(path, "sha256:2", 2, Choice(threads=2))
    assert recall(path, "sha256:1", 2) == CHOICE
    assert recall(path, "sha256:2", 2) == Choice(threads=2)
    assert recall(path, "sha256:1", 4) is None
    assert recall(path, "sha256:3", 2) is None
    assert [each.name for each in path.parent.iterdir()] == ["file.json"]
    other = tmp_path / "cpuinfo"
    other.write_text("model name\t: Other CPU\n", "utf-8")
    monkeypatch.setattr(calibration, "_CPUINFO", other)
    assert recall(path, "sha256:1", 2) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b'{"x": 1}', b'{"x": {"threads": 0}}', b'{"x": {"other": 1}}'],
)
def test_a_damaged_file_is_measured_anew(tmp_path: Path, content: bytes) -> None:
    """It is as good as none, and is replaced by the next choice."""
    path = tmp_path / "file.json"
    path.write_bytes(content)
    assert recall(path, "sha256:1", 2) is None
    keep(path, "sha256:1", 2, CHOICE)
    assert recall(path, "sha256:1", 2) == CHOICE


@pytest.mark.parametrize("impossible", [{"threads": 3}, {"threads": 1, "lone_threads": 3}])
def test_a_choice_that_does_not_fit_is_not_taken(
    tmp_path: Path, impossible: dict[str, int]
) -> None:
    """Whoever wrote the file: two cores never run three threads."""
    path = tmp_path / "file.json"
    keep(path, "sha256:1", 2, CHOICE)
    (key,) = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({key: impossible}), "utf-8")
    assert recall(path, "sha256:1", 2) is None


def test_without_a_file_nothing_is_kept() -> None:
    """And nothing is asked."""
    keep(None, "sha256:1", 2, CHOICE)
    assert recall(None, "sha256:1", 2) is None
