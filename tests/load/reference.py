"""Summaries, and both models' memory, with transformers in float32; runs where `make parity` does.

Reads a task from stdin: `checkpoint`, `texts` and `output_tokens` to time summaries of documents
one after the other; or `resident`, two checkpoints to hold at once, each of which answers once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tests.load.processes import memory_mb
from transformers import MarianMTModel, MT5ForConditionalGeneration

SHORT = 16
"""Tokens in and out of a run that only warms up."""
LENGTHS = ((30, 30), (512, 60))
"""Tokens in and out of translator and summarizer when their memory is read."""


def summarizer(checkpoint: str) -> Any:  # noqa: ANN401 - transformers has no types
    """The model, in float32."""
    return MT5ForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()


def generate(model: Any, ids: list[int], tokens: int) -> None:  # noqa: ANN401 - transformers has no types
    """One input, beam 4, exactly `tokens` tokens written."""
    with torch.inference_mode():
        model.generate(
            input_ids=torch.tensor([ids]),
            num_beams=4,
            length_penalty=0.6,
            no_repeat_ngram_size=2,
            max_length=None,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
        )


def summarize(task: dict[str, Any]) -> dict[str, Any]:
    """Seconds of each text."""
    torch.set_num_threads(task["threads"])
    pieces = sentencepiece.SentencePieceProcessor(
        model_file=str(Path(task["checkpoint"]) / "spiece.model")
    )
    model = summarizer(task["checkpoint"])
    inputs = [[*pieces.encode(" ".join(text.split())), 1] for text in task["texts"]]
    generate(model, inputs[0][:SHORT], SHORT)
    seconds = []
    for ids in inputs:
        started = time.perf_counter()
        generate(model, ids, task["output_tokens"])
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "tokens": [len(ids) for ids in inputs]}


def resident(checkpoints: list[str]) -> dict[str, Any]:
    """Memory of this process with both models, each used once."""
    translator, summary = checkpoints
    models = [
        MarianMTModel.from_pretrained(translator, dtype=torch.float32).eval(),
        summarizer(summary),
    ]
    for model, (read, written) in zip(models, LENGTHS, strict=True):
        # Spread over the vocabulary: pages of the file that nobody reads are not in memory.
        step = model.config.vocab_size // (read + 1)
        generate(model, list(range(step, step * (read + 1), step)), written)
    return {"mb": memory_mb(os.getpid())}


def main() -> None:
    """Do the task on stdin."""
    task = json.load(sys.stdin)
    answer = resident(task["resident"]) if "resident" in task else summarize(task)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
