"""What one model's work will cost, from what is known at admission and at submission."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.scheduling.cost import CostModel, Shape
from khulasa_server.scheduling.ratios import LengthRatios, WeightedMean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from khulasa_server.scheduling.types import ModelProfile, SchedulerSettings, Stage

EXPECTED = 0.5
"""Quantile of the output ratio that costs are computed with."""
CAUTIOUS = 0.95
"""Quantile that admission promises with."""
_MEAN_WEIGHT = 2_000.0
_MEAN_MEMORY = 200_000.0
_PRICE_WEIGHT = 1.0
_PRICE_MEMORY = 10.0


@dataclass(frozen=True, slots=True)
class StageCost:
    """Cost of a stage before it was tokenized.

    Args:
        seconds: engine time expected, at the price of well-filled batches.
        alone: seconds from start to end on an idle machine, at the cautious end of what the
            output may be long.
    """

    seconds: float
    alone: float


class Estimator:
    """Cost model and learned ratios of one model.

    Args:
        profile: what is believed before the first batch.
        settings: slots and the longest batch.
    """

    def __init__(self, profile: ModelProfile, settings: SchedulerSettings) -> None:
        self.cost = CostModel(profile.prior)
        self._profile = profile
        self._settings = settings
        self._output = LengthRatios(profile.output_ratio)
        self._pieces = WeightedMean(profile.tokens_per_code_point, _MEAN_WEIGHT, _MEAN_MEMORY)
        # Batches are never filled with equal items; the price says how far they are from it.
        self._price = WeightedMean(1.0, _PRICE_WEIGHT, _PRICE_MEMORY)
        self._segment = WeightedMean(profile.segment_tokens, _MEAN_WEIGHT / 100, _MEAN_MEMORY / 100)

    def expected_output(self, tokens: int, limit: int) -> int:
        """Output tokens of an item, at least 1, never more than its limit."""
        return self._output_at(EXPECTED, tokens, limit)

    def cautious_output(self, tokens: int, limit: int) -> int:
        """Output tokens that one item in twenty exceeds, at least 1.

        It is the limit while few of about that length were seen: some models loop on long inputs.
        """
        if not self._output.knows(tokens):
            return max(1, limit)
        return self._output_at(CAUTIOUS, tokens, limit)

    def _output_at(self, part: float, tokens: int, limit: int) -> int:
        return max(1, min(limit, round(tokens * self._output.quantile(part, tokens))))

    def item_seconds(self, tokens: int, output: int, beam_size: int) -> float:
        """Engine seconds that an item adds while others wait with it."""
        return self._price.value * self._filled_seconds(tokens, output, beam_size)

    def alone_seconds(self, tokens: int, output: int, beam_size: int) -> float:
        """Engine seconds of an item that shares its batch with nobody."""
        return self.cost.predict(Shape.single(tokens, output, beam_size))

    def _filled_seconds(self, tokens: int, output: int, beam_size: int) -> float:
        """Engine seconds that an item adds to a batch of as many equal ones as may run."""
        single = Shape.single(tokens, output, beam_size)
        count = self._filled(single)
        return self.cost.predict(single.times(count)) / count

    def stage(self, stage: Stage) -> StageCost:
        """Cost of a stage, estimated from its code points."""
        tokens = max(1, math.ceil(stage.code_points * self._pieces.value))
        typical = max(1.0, min(self._segment.value, self._profile.max_segment_tokens))
        items = max(1, math.ceil(tokens / typical))
        length = math.ceil(tokens / items)
        most = self._profile.max_output_tokens
        most = min(most, stage.max_output_tokens or most)
        price = self.alone_seconds if stage.deterministic else self.item_seconds
        expected = self.expected_output(length, most)
        cautious = Shape.single(length, self._cautious_mean(items, length, most), stage.beam_size)
        most_rows = 1 if stage.deterministic else self._filled(cautious)
        return StageCost(
            seconds=items * price(length, expected, stage.beam_size),
            alone=self._alone(items, cautious, most_rows),
        )

    def observe_items(self, items: int, tokens: int) -> None:
        """Learn how long items are."""
        self._segment.observe(tokens, items)

    def observe_price(self, seconds: float, items: Iterable[Shape]) -> None:
        """Learn how much more a batch took than its items would have in batches of their equals.

        Only batches that left others waiting are worth learning from: those that took all there
        was are small because there was no more, and will be larger when it matters.

        Their shares are those of this moment, not what they were priced at when they came: what
        the cost model has learned since is in its coefficients, and must not be in the price as
        well. Seconds are measured: the coefficients follow typical batches, and few outputs that
        loop, or retries, make the mean larger.

        Args:
            seconds: that the batch took.
            items: the shape of each of its items alone.
        """
        share = sum(
            self._filled_seconds(item.longest, item.steps, item.beam_size) for item in items
        )
        self._price.observe(seconds, share)

    def observe_output(self, tokens: int, output: int) -> None:
        """Learn that an item of `tokens` got `output` tokens."""
        self._output.observe(tokens, output / max(1, tokens))

    def observe_request(self, code_points: int, tokens: int) -> None:
        """Learn that a text of `code_points` became `tokens`, those of its retries included."""
        self._pieces.observe(tokens, code_points)

    def _cautious_mean(self, items: int, length: int, most: int) -> int:
        """Output tokens an item: a sum over many items strays less than one of them does."""
        middle = self._output.quantile(EXPECTED, length)
        high = self._output.quantile(CAUTIOUS, length)
        ratio = middle + (high - middle) / math.sqrt(items)
        return max(1, min(most, math.ceil(length * ratio)))

    def _alone(self, items: int, single: Shape, filled: int) -> float:
        """Seconds of equal items, `filled` a batch, spread over all slots of an idle machine."""
        share = math.ceil(items / self._settings.slots)
        batches, rest = divmod(share, filled)
        seconds = batches * self.cost.predict(single.times(filled))
        return seconds + (self.cost.predict(single.times(rest)) if rest else 0.0)

    def _filled(self, single: Shape) -> int:
        """Equal items that fill a batch, at least 1."""
        one, two = self.cost.predict(single), self.cost.predict(single.times(2))
        by_tokens = self._profile.batch_tokens // max(1, single.longest)
        by_size = max(1, min(by_tokens, self._profile.batch_rows // single.beam_size))
        if two <= one:
            return by_size
        by_seconds = 1 + math.floor((self._settings.batch_seconds - one) / (two - one))
        return int(max(1, min(by_size, by_seconds, self.cost.saturating(single))))
