"""One training run: steps, rate, running average, and a state from which it goes on."""

from __future__ import annotations

import json
import random
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.batches import Row
from training.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import FrameType


STATE = "state.pt"
LOG = "log.jsonl"
CHECKPOINT = "checkpoint"


class Task(Protocol[Row]):
    """What is learned.

    Args:
        model: the network, in float32.
    """

    model: Any

    def batches(self, rng: random.Random, step: int) -> Iterator[Sequence[Row]]:
        """Endless batches from a step on."""
        ...

    def loss(self, batch: Sequence[Row]) -> Any:  # noqa: ANN401 - a tensor
        """Mean loss of a piece, a scalar with a gradient."""
        ...

    def constrain(self) -> None:
        """Put right, after a step, what must not be learned."""
        ...

    def evaluate(self, model: Any) -> dict[str, object]:  # noqa: ANN401 - a network
        """Figures of a network on development sets, with their signatures."""
        ...

    def export(self, model: Any, directory: Path) -> None:  # noqa: ANN401 - a network
        """Write a float16 checkpoint in Hugging Face layout."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run goes.

    Args:
        output: directory of its state, log and checkpoint.
        warmup: steps up to the peak.
        peak: highest learning rate.
        last: step at which it ends, those before it was resumed counted.
        anneal: steps before `last` in which the rate falls to zero.
        seed: of everything random.
        average: weight of the past in the running average of the weights, 0 ≤ average < 1.
        betas: of AdamW's running means.
        decay: weight decay.
        save_seconds: between two states, and two evaluations.
        log_steps: between two lines of the log.
    """

    output: Path
    warmup: int
    peak: float
    last: int
    anneal: int
    seed: int
    average: float = 0.99
    betas: tuple[float, float] = (0.9, 0.98)
    decay: float = 0.0
    save_seconds: float = 600.0
    log_steps: int = 50


class Run(Generic[Row]):
    """A run, new or resumed.

    Resuming restores weights, optimizer, average and step. The order of the data is drawn anew,
    from the seed and the step.

    Args:
        task: what is learned.
        plan: how.
        first: steps behind the task's model if this run is new.
    """

    def __init__(self, task: Task[Row], plan: Plan, first: int = 0) -> None:
        self.task: Task[Row] = task
        self.plan = plan
        self.first = self.step = first
        self._stopping = False
        self._average = AveragedModel(task.model, multi_avg_fn=get_ema_multi_avg_fn(plan.average))
        self._optimizer = torch.optim.AdamW(
            task.model.parameters(), betas=plan.betas, eps=1e-9, weight_decay=plan.decay, fused=True
        )
        plan.output.mkdir(parents=True, exist_ok=True)
        self._state = plan.output / STATE
        if self._state.exists():
            self._restore()

    def _restore(self) -> None:
        state = torch.load(self._state, weights_only=True)
        self.task.model.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.first, self.step = state["first"], state["step"]

    def save(self) -> None:
        """Write the state in one move: a run that is killed leaves the old one or the new one."""
        state = {
            "model": self.task.model.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "first": self.first,
            "step": self.step,
        }
        unfinished = self._state.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(self._state)

    def go(self) -> None:
        """Learn until the plan's last step, or until SIGTERM or SIGINT; then save.

        Reaching the last step also evaluates and exports the average.
        """
        handlers = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        try:
            self._learn()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        self.save()
        if self.step >= self.plan.last:
            self._report()
            self.task.export(self._average.module, self.plan.output / CHECKPOINT)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _learn(self) -> None:
        rng = random.Random(f"{self.plan.seed} {self.step}")  # noqa: S311 - no secret
        torch.manual_seed(self.plan.seed + self.step)
        schedule = self._schedule()
        losses: list[float] = []
        saved = time.monotonic()
        self.task.model.train()
        for batch in self.task.batches(rng, self.step):
            if self._stopping or self.step >= self.plan.last:
                return
            losses.append(self._learn_from(batch, schedule.rate(self.step)))
            self.step += 1
            if self.step % self.plan.log_steps == 0:
                self._log(loss=sum(losses) / len(losses), rate=schedule.rate(self.step))
                losses.clear()
            if time.monotonic() - saved > self.plan.save_seconds:
                saved = time.monotonic()
                self.save()
                self._report()

    def _schedule(self) -> Schedule:
        plan = self.plan
        return Schedule(plan.peak, plan.warmup, self.first, plan.last, plan.anneal)

    def _learn_from(self, batch: Sequence[Row], rate: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self.task.loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.task.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.task.constrain()
        self._average.update_parameters(self.task.model)
        return float(loss.item())

    def _report(self) -> None:
        model = self._average.module
        model.eval()
        with torch.inference_mode():
            self._log(**self.task.evaluate(model))

    def _log(self, **figures: object) -> None:
        line = {"step": self.step, "seconds": round(time.process_time()), **figures}
        with (self.plan.output / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, ensure_ascii=False) + "\n")


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
