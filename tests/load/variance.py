"""How often an int8 output depends on what else is in its batch.

Reads a task from stdin: a bundle, texts, batch size and seed. Each text runs alone, and again among
others in random order; writes how many outputs differ.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from khulasa_server.bundles import store
from khulasa_server.engines.base import GenerationOptions
from khulasa_server.engines.loading import load
from khulasa_server.text.normalization import normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.engines.base import Engine, Tokens


def outputs(
    engine: Engine,
    inputs: Sequence[Tokens],
    order: Sequence[int],
    size: int,
    options: GenerationOptions,
) -> dict[int, str]:
    """Text by place of each input, computed in batches of `size` in the order given."""
    found: dict[int, str] = {}
    for first in range(0, len(order), size):
        places = order[first : first + size]
        answers = engine.generate([inputs[place] for place in places], options)
        found |= {place: answer.text for place, answer in zip(places, answers, strict=True)}
    return found


def main() -> None:
    """Do the task on stdin."""
    task: dict[str, Any] = json.load(sys.stdin)
    bundle = store.load(store.resolve(task["bundle"]))
    engine = load("ctranslate2", bundle.path, bundle.manifest, workers=1, threads=1)
    defaults = bundle.manifest.generation.model_dump()
    options = GenerationOptions(**{**defaults, "max_output_tokens": task["output_tokens"]})
    inputs = engine.tokenize([normalize(text).text for text in task["texts"]])
    every = list(range(len(inputs)))
    alone = outputs(engine, inputs, every, 1, options)
    mixed = np.random.default_rng(task["seed"]).permutation(len(inputs)).tolist()
    together = outputs(engine, inputs, mixed, task["batch"], options)
    differ = sum(alone[place] != together[place] for place in every)
    json.dump({"texts": len(inputs), "differ": differ}, sys.stdout)


if __name__ == "__main__":
    main()
