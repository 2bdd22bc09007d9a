"""The embedded summarizer: mT5, which writes the leading sentence of an Arabic document."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import sentencepiece
import torch
from transformers import MT5ForConditionalGeneration

from training import documents, networks, sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from training.batches import Example

LENGTHS: Final = ((0, (64, 128, 192, 256)), (11_720, (96, 192, 320, 500)))
"""From a step on: how long documents are, in pieces."""
_DEV_LENGTHS = (64, 128, 240, 480)
_DEV_SEED = 5
_PADDING, _END = 0, documents.END


class Summarizer:
    """Learns leading sentences.

    Args:
        base: checkpoint to start from.
        data: directory of training data.
        dev_documents: how many of each length are summarized in an evaluation.
        dropout: share of activations left out.
        budget: pieces of the documents of a batch.
    """

    def __init__(
        self, base: Path, data: Path, *, dev_documents: int, dropout: float, budget: int
    ) -> None:
        self.base, self.budget = base, budget
        self.model = networks.load(MT5ForConditionalGeneration, base, dropout_rate=dropout)
        # transformers says of every mT5 that it is tied; this one is not.
        self.model.config.tie_word_embeddings = False
        self._tokenizer = sentencepiece.SentencePieceProcessor(
            model_file=str(base / "spiece.model")
        )
        self._library = self._read(data)
        rng = random.Random(_DEV_SEED)  # noqa: S311 - no secret
        self._dev = {length: self._documents(rng, length, dev_documents) for length in _DEV_LENGTHS}

    def _read(self, data: Path) -> documents.Library:
        by_source: dict[str, list[str]] = defaultdict(list)
        for pair in sources.read_pairs(data):
            by_source[pair.source].append(pair.arabic)
        return documents.library(
            sources.read_documents(data),
            by_source,
            self._tokenizer.encode,
            self._tokenizer.get_piece_size(),
        )

    def _documents(self, rng: random.Random, longest: int, count: int) -> list[Example]:
        drawn = (self._library.document(rng, longest) for _ in range(count))
        return [document for document in drawn if document]

    def batches(self, rng: random.Random, step: int) -> Iterator[Sequence[Example]]:
        """Endless batches of documents of one length each, longer ones from later steps on."""
        while True:
            lengths = next(choice for start, choice in reversed(LENGTHS) if step >= start)
            longest = rng.choice(lengths)
            batch = self._documents(rng, longest, max(3, self.budget // longest))
            if batch:
                step += 1
                yield batch

    def loss(self, batch: Sequence[Example]) -> Any:  # noqa: ANN401 - a tensor
        """Cross entropy of a piece."""
        read, mask, labels = networks.tensors(batch, _PADDING)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(input_ids=read, attention_mask=mask, labels=labels).logits
        return torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=networks.IGNORED
        )

    def constrain(self) -> None:
        """Nothing is left out of learning here."""

    def evaluate(self, model: Any) -> dict[str, object]:  # noqa: ANN401 - transformers has no types
        """Share of exact copies of the leading sentence at each length, greedy.

        Of documents like those that are learned from: copying is what is tested.
        """
        return {
            f"exact copies at {length}": self._copied(model, rows) / max(1, len(rows))
            for length, rows in self._dev.items()
        }

    def _copied(self, model: Any, rows: Sequence[Example]) -> int:  # noqa: ANN401 - transformers has no types
        most = documents.LONGEST_SUMMARY + 1
        written = networks.generate(model, [read for read, _ in rows], most=most)
        kept = ([row for row in output if row not in {_PADDING, _END}] for output in written)
        return sum(output == wanted[:-1] for output, (_, wanted) in zip(kept, rows, strict=True))

    def export(self, model: Any, directory: Path) -> None:  # noqa: ANN401 - transformers has no types
        """A float16 checkpoint, tokenizer included."""
        networks.export(model, self.base, directory)
