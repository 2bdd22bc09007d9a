"""The choice of threads from what was measured, and the file that keeps it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines import calibration
from khulasa_server.engines.calibration import Choice, Speed, candidates, choose, keep, recall

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


def test_one_thread_a_batch_unless_more_are_clearly_better() -> None:
    """A tenth more sentences a second is worth an exchange, less is noise."""
    usual = Speed(1, 100.0, 1.0)
    assert choose([usual, Speed(2, 109.9, 1.0)], 2, long_inputs=False).threads == 1
    assert choose([usual, Speed(2, 110.1, 1.0)], 2, long_inputs=False).threads == 2
    assert choose([usual, Speed(2, 120.0, 1.0), Speed(4, 130.0, 1.0)], 4, long_inputs=False) == (
        Choice(
            threads=4,
            reason="4x1: 100.0 sentences/s, a long input 1.000 s; "
            "2x2: 120.0 sentences/s, a long input 1.000 s; "
            "1x4: 130.0 sentences/s, a long input 1.000 s",
        )
    )


@pytest.mark.parametrize(("seconds", "lone"), [(0.78, 0), (0.76, 2)])
def test_a_long_input_has_more_threads_if_it_gains_enough(seconds: float, lone: int) -> None:
    """From 1.3 times on; the gain is kept with the choice."""
    choice = choose([Speed(1, 100.0, 1.0), Speed(2, 60.0, seconds)], 2, long_inputs=True)
    assert (choice.threads, choice.lone_threads) == (1, lone)
    assert choice.gain == pytest.approx(1 / seconds if lone else 1.0)


def test_a_model_of_sentences_has_no_long_inputs() -> None:
    """A document is split, and its sentences are spread over the workers."""
    speeds = [Speed(1, 100.0, 1.0), Speed(2, 60.0, 0.5)]
    assert choose(speeds, 2, long_inputs=False).lone_threads == 0


def test_no_second_engine_like_the_first() -> None:
    """Where batches have that many threads anyway, a long input gains nothing more."""
    speeds = [Speed(1, 100.0, 1.0), Speed(2, 200.0, 0.5)]
    assert choose(speeds, 2, long_inputs=True) == Choice(
        threads=2, reason=choose(speeds, 2, long_inputs=True).reason
    )


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
