"""What the load generator is told and what it tells: plain values that cross a pipe as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

OK = "OK"


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC.

    Args:
        contents: of a Translate; of a Summarize the one text.
        summarize: a Summarize with the summary's English translation.
        max_output_tokens: of a segment or a summary; 0: the model's default.
        bypass: neither read nor fill the cache.
        onward: with a Summarize, ask for the summary's translation.
    """

    contents: tuple[str, ...]
    summarize: bool = False
    max_output_tokens: int = 0
    bypass: bool = True
    onward: bool = True


@dataclass(frozen=True, slots=True)
class Load:
    """What one generator sends.

    Args:
        address: of the server.
        calls: in the order sent.
        deadline: seconds each call is given.
        in_flight: closed loop: so many calls at once, each followed by the next.
        arrivals: open loop: seconds from the start at which each call is due; None: closed.
    """

    address: str
    calls: tuple[Call, ...]
    deadline: float = 300.0
    in_flight: int = 256
    arrivals: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As the generator reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Load:
        """The inverse."""
        calls = tuple(
            Call(**{**each, "contents": tuple(each["contents"])}) for each in data["calls"]
        )
        arrivals = data["arrivals"]
        return cls(
            data["address"],
            calls,
            data["deadline"],
            data["in_flight"],
            None if arrivals is None else tuple(arrivals),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call; durations in seconds.

    Args:
        code: of gRPC.
        reason: of the ErrorInfo; empty where there is none.
        latency: from the moment the call was due, not from when it was sent.
        sent: from the start of the load.
        segments: of the answer.
        tokens: that engines read and wrote for it, retries included.
        queue: longest wait of a segment, by the server.
        inference: run time of its batches, by the server.
        total: by the server.
    """

    code: str
    reason: str
    latency: float
    sent: float
    segments: int = 0
    tokens: int = 0
    queue: float = 0.0
    inference: float = 0.0
    total: float = 0.0

    @property
    def answered(self) -> bool:
        """Whether there was an answer; in time, since deadlines are set."""
        return self.code == OK


@dataclass(frozen=True, slots=True)
class Report:
    """A load that ended.

    Args:
        seconds: from its start to its last answer.
        cpu_seconds: that the generator used.
        lateness: seconds that the generator was late in sending, 99th percentile.
        outcomes: of each call, in the order given.
    """

    seconds: float
    cpu_seconds: float
    lateness: float
    outcomes: tuple[Outcome, ...]

    def to_json(self) -> dict[str, Any]:
        """As the generator writes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """The inverse."""
        outcomes = tuple(Outcome(**each) for each in data["outcomes"])
        return cls(data["seconds"], data["cpu_seconds"], data["lateness"], outcomes)

    @property
    def answered(self) -> tuple[Outcome, ...]:
        """Calls with an answer."""
        return tuple(outcome for outcome in self.outcomes if outcome.answered)

    def require_answers(self) -> Report:
        """This report, if every call has an answer.

        Raises:
            RuntimeError: one has none.
        """
        failed = [outcome for outcome in self.outcomes if not outcome.answered]
        if failed:
            first = failed[0]
            raise RuntimeError(f"{len(failed)} calls failed, first {first.code} {first.reason}")
        return self
