"""What training a translator and a summarizer have in common, as far as it needs torch."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig

from training import batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.batches import Example, Numbers

IGNORED = -100
"""Label of padding, on which there is no loss."""


def load(family: Any, directory: Path, **settings: object) -> Any:  # noqa: ANN401 - transformers has no types
    """A network in float32.

    Attention is computed step by step: on CPUs, the backward pass of torch's fused one took as
    long as everything else together (sentences of 40 pieces, one core with AVX-512).

    Args:
        family: class in transformers.
        directory: a checkpoint.
        settings: of its configuration, to be changed.
    """
    config = AutoConfig.from_pretrained(directory)
    # Given to `from_pretrained`, they would end in the generation config too.
    config.update(settings)
    return family.from_pretrained(
        directory, config=config, dtype=torch.float32, attn_implementation="eager"
    )


def tensors(batch: Sequence[Example], padding: int) -> tuple[Any, Any, Any]:
    """What is read, which of it is text, and what is to be written, `[items, pieces]` each."""
    read = torch.tensor(batches.pad([read for read, _ in batch], padding))
    labels = torch.tensor(batches.pad([written for _, written in batch], IGNORED))
    lengths = torch.tensor([len(read) for read, _ in batch])
    return read, (torch.arange(read.shape[1]) < lengths[:, None]).long(), labels


def generate(model: Any, sources: Sequence[Numbers], *, most: int) -> list[Numbers]:  # noqa: ANN401 - transformers has no types
    """Greedy outputs of at most `most` pieces, special ones included."""
    padding = model.config.pad_token_id
    outputs: list[Numbers] = []
    for start in range(0, len(sources), 16):
        rows = [(source, source) for source in sources[start : start + 16]]
        read, mask, _ = tensors(rows, padding)
        written = model.generate(
            input_ids=read, attention_mask=mask, num_beams=1, do_sample=False, max_length=most + 1
        )
        outputs += written.tolist()
    return outputs


def export(model: Any, base: Path, directory: Path) -> None:  # noqa: ANN401 - transformers has no types
    """A float16 copy of a network, with everything of `base` that is neither weights nor card."""
    deepcopy(model).half().save_pretrained(directory)
    for path in base.iterdir():
        if not (directory / path.name).exists() and path.suffix in {".json", ".model", ".spm"}:
            shutil.copyfile(path, directory / path.name)
    config = directory / "config.json"
    told = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps({**told, "dtype": "float16"}, indent=2) + "\n", "utf-8")
