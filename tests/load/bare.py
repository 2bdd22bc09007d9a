"""CTranslate2 without a server: the most that an engine gives, for the served to be compared with.

Reads a task from stdin: a bundle, workers and threads, and jobs; writes each job's seconds. Inputs
are in pieces already; tokenizing, like everything else around the engine, is not timed.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ctranslate2

from khulasa_server.bundles.manifest import MODEL_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Job:
    """Inputs with equal options.

    Args:
        rows: inputs in pieces, end of sequence included.
        window: inputs that are sorted together; windows follow one another without a pause.
        batch: inputs in a batch.
        options: of the product's `GenerationOptions`.
    """

    rows: list[list[str]]
    window: int
    batch: int
    options: Mapping[str, Any]

    def windows(self) -> Iterator[Sequence[list[str]]]:
        """The inputs, window by window, the longest of each first."""
        rows = iter(self.rows)
        while window := list(islice(rows, self.window)):
            yield sorted(window, key=len, reverse=True)


def run(translator: Any, job: Job) -> float:  # noqa: ANN401 - CTranslate2 has no types
    """Seconds from the first input to the last output."""
    options = job.options
    started = time.perf_counter()
    pending = [
        result
        for window in job.windows()
        for result in translator.translate_batch(
            window,
            beam_size=options["beam_size"],
            length_penalty=options["length_penalty"],
            no_repeat_ngram_size=options["no_repeat_ngram_size"],
            max_decoding_length=options["max_output_tokens"],
            min_decoding_length=0,
            max_input_length=0,
            max_batch_size=job.batch,
            batch_type="examples",
            return_scores=True,
            asynchronous=True,
        )
    ]
    for result in pending:
        result.result()
    return time.perf_counter() - started


def main() -> None:
    """Run the jobs on stdin, one after the other."""
    task = json.load(sys.stdin)
    translator = ctranslate2.Translator(
        str(Path(task["bundle"]) / MODEL_DIRECTORY),
        device="cpu",
        inter_threads=task["workers"],
        intra_threads=task["threads"],
        max_queued_batches=-1,
    )
    jobs = [Job(**job) for job in task["jobs"]]
    first = jobs[0]
    # Once at full width, so that no measured batch is the first.
    run(translator, Job(first.rows[: 2 * first.batch], first.window, first.batch, first.options))
    json.dump({"seconds": [run(translator, job) for job in jobs]}, sys.stdout)


if __name__ == "__main__":
    main()
