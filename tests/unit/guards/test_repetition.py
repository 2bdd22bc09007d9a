"""Loops, and what only looks like one."""

from __future__ import annotations

import pytest

from khulasa_server.guards.findings import Kind
from khulasa_server.guards.repetition import find_repetition


@pytest.mark.parametrize(
    ("output", "loop"),
    [
        ("The the man went home.", "The the"),
        ("It is the city of the city of the city.", "the city of the city of the city"),
        ("A man's man's man's house.", "man's man's man's"),
        ("He was in Paris, he was in Paris, and ate.", "He was in Paris, he was in Paris"),
        ("The Machanananan river.", "ananan"),
        ("He was veryyyyyy tired.", "yyyyyy"),
        (
            "By the medical points of the medical points.",
            "the medical points of the medical points",
        ),
    ],
)
def test_loops_are_found_where_they_are(output: str, loop: str) -> None:
    """The span of a finding holds the loop, all of it and nothing else."""
    (finding,) = find_repetition("ذهب الرجل إلى بيته في المدينة.", output)
    assert finding.kind is Kind.REPETITION
    assert finding.target is not None
    assert loop in finding.target.of(output)
    assert len(finding.target) <= len(loop) + 3


@pytest.mark.parametrize(
    "output",
    [
        "He had had enough.",
        "Now for Japan. Japan is an island.",
        "The tomb (KV62). KV62 is famous.",
        "It is no deficit, but a deficit.",
        "It grew by 1,000,000,000,000 euros, 5,000,000 a day.",
        "They won 2-2 after 1-1, by and by.",
        "Mississippi, banana, hahaha would be fine but for one.",
        "",
    ],
)
def test_prose_is_left_alone(output: str) -> None:
    """Doublings that English has are no loops."""
    assert find_repetition("كان يحب الموز.", output.replace("hahaha", "ha")) == []


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("قال لا لا لا أريد", "He said no no no, I do not want"),
        ("هذا جيد جدا جدا جدا", "This is very very very good"),
        ("يوم بعد يوم بعد يوم بعد يوم", "day after day after day after day"),
        ("هههههه", "hahahaha"),
        (
            "المعرفة قوة، والمعرفة نور، والمعرفة حياة، والمعرفة كنز",
            "Knowledge is power, knowledge is light, knowledge is life",
        ),
    ],
)
def test_what_the_source_repeats_may_be_repeated(source: str, output: str) -> None:
    """An output that says a thing as often as its source does is faithful."""
    assert find_repetition(source, output) == []


def test_more_often_than_the_source_is_a_loop() -> None:
    """A source that says a word twice does not excuse seven times."""
    assert find_repetition("جدا جدا", "very very very very very very very")


def test_a_spelled_abbreviation_excuses_nothing() -> None:
    """بي بي سي is the BBC and no licence to stammer."""
    assert find_repetition("عمل في بي بي سي أربع سنوات", "He worked up up there for four years")


def test_a_phrase_that_returns_is_a_loop() -> None:
    """A loop need not be adjacent."""
    output = "The news of today, also the news, then of the news, so the news."
    (finding,) = find_repetition("أخبار اليوم كثيرة.", output)
    assert "the news" in finding.detail


def test_long_articles_cost_no_more_than_their_length() -> None:
    """Periods are bounded: of 5,000 words that all differ but one, each is looked at once."""
    words = [f"w{i}" if i % 70 else "again" for i in range(5_000)]
    assert find_repetition("", " ".join(words)) == []
