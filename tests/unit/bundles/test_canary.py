"""A model that is not what it was does not serve; another processor's rounding is not that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from khulasa_server.bundles import canary
from khulasa_server.bundles.manifest import Quantization

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.ctranslate2 import CTranslate2Engine

Tokens = tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """An output."""

    text: str
    tokens: Tokens


@dataclass
class Recalling:
    """An engine that repeats a manifest's golden outputs, with chosen deviations.

    Args:
        manifest: what it repeats.
        shifts: added to the scores, one a golden.
        texts: replaces that many texts.
        pieces: True: cuts the first input differently.
        compute_type: what it says it computes in.
    """

    manifest: Manifest
    shifts: Sequence[float] = ()
    texts: int = 0
    pieces: bool = False
    compute_type: str = "int8_float32"

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The recorded pieces, or others."""
        known = {golden.input: golden.input_tokens for golden in self.manifest.golden}
        found = [known[text] for text in texts]
        return [("▁other", "</s>"), *found[1:]] if self.pieces else found

    def generate(self, batch: Sequence[Tokens], options: object) -> list[Said]:
        """The recorded outputs, some of them replaced."""
        del options
        golden = self.manifest.golden[: len(batch)]
        return [
            Said("other" if place < self.texts else one.output, one.output_tokens)
            for place, one in enumerate(golden)
        ]

    def score(self, batch: Sequence[Tokens], targets: Sequence[Tokens]) -> list[list[float]]:
        """The recorded scores, shifted."""
        del batch
        shifts = [*self.shifts, *[0.0] * len(targets)]
        pairs = zip(self.manifest.golden, targets, shifts, strict=False)
        return [[one.score + shift] * (len(target) + 1) for one, target, shift in pairs]

    def close(self) -> None:
        """Nothing to free."""


def test_the_engine_it_was_built_with_passes(
    built: dict[str, Bundle], engine_of: Callable[[Bundle], CTranslate2Engine]
) -> None:
    """Right after building, scores and texts are what was recorded."""
    from khulasa_server.engines.proving import GREEDY  # noqa: PLC0415 - only here

    for bundle in built.values():
        report = canary.check(engine_of(bundle), bundle.manifest, GREEDY, "strict")
        assert report.passed
        assert report.texts_equal == report.goldens >= canary.GOLDEN_FEWEST
        assert report.largest_shift == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shifts=st.lists(st.floats(-0.3, 0.3), min_size=16, max_size=16))
def test_the_verdict_is_the_thresholds(built: dict[str, Bundle], shifts: list[float]) -> None:
    """int8 passes if and only if no golden moved by over 0.1 and their mean by over 0.01."""
    manifest = built["marian"].manifest
    report = canary.check(Recalling(manifest, shifts), manifest, object())
    moved = shifts[: len(manifest.golden)]
    mean = sum(moved) / len(moved)
    near = any(abs(abs(one) - 0.1) < 1e-9 for one in moved) or abs(abs(mean) - 0.01) < 1e-9
    within = all(abs(one) <= 0.1 for one in moved) and abs(mean) <= 0.01
    assert report.passed == within or near
    assert report.largest_shift == pytest.approx(max(map(abs, moved)))
    assert report.mean_shift == pytest.approx(mean)


def test_one_moved_golden_is_named(built: dict[str, Bundle]) -> None:
    """A refusal names the input and says how far its score moved and what is allowed."""
    manifest = built["marian"].manifest
    report = canary.check(Recalling(manifest, [-0.12]), manifest, object())
    assert report.differences == (
        f"the score of {manifest.golden[0].input!r} moved by -0.1200 a token; 0.1 is allowed",
    )


def test_a_small_shift_of_all_is_refused(built: dict[str, Bundle]) -> None:
    """What every golden loses a little of is no rounding."""
    manifest = built["marian"].manifest
    report = canary.check(Recalling(manifest, [0.02] * 16), manifest, object())
    assert report.differences == ("the mean score moved by +0.0200 a token; 0.01 is allowed",)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused(built: dict[str, Bundle], bad: float) -> None:
    """A network that computes NaN compares with nothing, and is refused."""
    manifest = built["marian"].manifest
    assert not canary.check(Recalling(manifest, [bad]), manifest, object()).passed


def test_float32_is_held_to_float32(built: dict[str, Bundle]) -> None:
    """Where nothing is rounded, a tenth of the int8 tolerance is far too much."""
    manifest = built["marian"].manifest.model_copy(update={"quantization": Quantization.FLOAT32})
    engine = Recalling(manifest, [0.001], compute_type="float32")
    assert not canary.check(engine, manifest, object()).passed
    engine = Recalling(manifest, [0.00001], compute_type="float32")
    assert canary.check(engine, manifest, object()).passed


def test_text_is_a_figure_unless_strict(built: dict[str, Bundle]) -> None:
    """Changed texts are counted and named; only strict mode refuses for them."""
    manifest = built["marian"].manifest
    engine = Recalling(manifest, texts=3)
    report = canary.check(engine, manifest, object())
    assert report.passed
    assert report.changed == tuple(golden.input for golden in manifest.golden[:3])
    assert (report.texts, report.texts_equal) == (canary.TEXTS_COMPARED, 1)
    everything = canary.check(engine, manifest, object(), texts=len(manifest.golden))
    assert everything.texts_equal == len(manifest.golden) - 3
    strict = canary.check(engine, manifest, object(), "strict")
    assert strict.differences == (f"3 of {len(manifest.golden)} golden outputs have another text",)


def test_other_pieces_are_refused(built: dict[str, Bundle]) -> None:
    """A tokenizer that cuts text differently is refused whatever the scores say."""
    manifest = built["marian"].manifest
    report = canary.check(Recalling(manifest, pieces=True), manifest, object())
    assert report.differences == (
        f"the pieces of {manifest.golden[0].input!r} differ: ▁other </s>",
    )


def test_goldens_come_in_the_language_of_the_input() -> None:
    """Arabic where there are Arabic ones, else English; at least eight of each."""
    assert any("ا" in line for line in canary.golden_lines("ar"))
    assert canary.golden_lines("fr") == canary.golden_lines("en")
    assert min(len(canary.golden_lines(code)) for code in ("ar", "en")) >= canary.GOLDEN_FEWEST
