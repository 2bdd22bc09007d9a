"""Findings and their place in larger texts."""

from __future__ import annotations

from khulasa.v1 import common_pb2
from khulasa_server.guards.findings import Finding, Kind, excerpt
from khulasa_server.text.spans import Span


def test_kinds_are_those_of_the_contract() -> None:
    """Every kind has its name on the wire, and every name there has its kind."""
    prefix = "FINDING_KIND_"
    names = {name.removeprefix(prefix) for name in common_pb2.FindingKind.keys()}  # noqa: SIM118 - an enum wrapper is no dictionary
    assert names - {"UNSPECIFIED"} == set(Kind)


def test_a_finding_moves_with_its_texts() -> None:
    """Both places move, each by its own offset; a place that is not there stays away."""
    finding = Finding(Kind.NUMBER_MISSING, Span(1, 3), None, "12")
    assert finding.shift(10, 20) == Finding(Kind.NUMBER_MISSING, Span(11, 13), None, "12")
    finding = Finding(Kind.SENTINEL, None, Span(0, 4), "</s>")
    assert finding.shift(10, 20).target == Span(20, 24)


def test_a_place_at_the_start_moves_too() -> None:
    """An empty place is a place."""
    finding = Finding(Kind.TRUNCATED, Span(0, 0), Span(0, 0), "")
    assert finding.shift(5, 7) == Finding(Kind.TRUNCATED, Span(5, 5), Span(7, 7), "")


def test_a_resolved_finding_has_no_place_in_the_output() -> None:
    """What a retry removed is told without a place in the text that replaced it."""
    resolved = Finding(Kind.REPETITION, None, Span(3, 9), "the the").resolve()
    assert resolved.resolved
    assert resolved.target is None


def test_details_stay_short() -> None:
    """A quotation is cut where it would fill a screen, and says that it is."""
    assert excerpt("short") == "short"
    assert len(excerpt("x" * 1_000)) == 80
    assert excerpt("x" * 1_000).endswith("…")
