"""The embedded translator: MarianMT, Arabic to English."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sacrebleu
import sentencepiece
import torch
from transformers import MarianMTModel

from training import batches, networks, sources

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from training.batches import Example, Numbers

WEIGHTS: Final = {
    "tatoeba": 4.0,
    "flores_dev": 3.0,
    "distilled": 2.0,
    "xquad": 3.0,
    "tico19/": 3.0,
    "syrian_archive": 1.0,
    "open_sdg": 1.0,
    "debian_handbook": 0.3,
    "ms_project_operations": 0.3,
    "bible_nav_web": 0.1,
    "l10n/": 0.15,
    "lex:": 0.03,
    "lex:names_wikidata/": 0.06,
}
"""How often a pair is seen in an epoch: what reads like news or everyday talk most often."""

LONGEST: Final = 120
"""Pieces of one side of a pair that is learned from."""
_END, _UNKNOWN = 0, 1
_BANNED = -1e4
"""Bias of a piece that is never written; fits float16."""
_SMOOTHING = 0.1
_MOST_WRITTEN = 90


@dataclass(frozen=True, slots=True)
class Pieces:
    """The two tokenizers and the vocabulary that they share.

    Args:
        source: of Arabic.
        target: of English.
        rows: of each piece in the model's vocabulary.
    """

    source: Any
    target: Any
    rows: dict[str, int]

    @classmethod
    def of(cls, directory: Path) -> Pieces:
        """Those of a checkpoint."""
        source, target = (
            sentencepiece.SentencePieceProcessor(model_file=str(directory / f"{side}.spm"))
            for side in ("source", "target")
        )
        return cls(source, target, json.loads((directory / "vocab.json").read_text("utf-8")))

    def encode(self, tokenizer: Any, text: str) -> Numbers:  # noqa: ANN401 - sentencepiece has no types
        """Rows of a text's pieces, end of sequence last."""
        pieces = tokenizer.encode(text, out_type=str)
        return [*(self.rows.get(piece, _UNKNOWN) for piece in pieces), _END]

    def writable(self) -> list[int]:
        """Rows of the pieces that English is written with, in ascending order."""
        names = (self.target.id_to_piece(row) for row in range(self.target.get_piece_size()))
        return sorted({self.rows[name] for name in names if name in self.rows})


class Translator:
    """Learns translations.

    The loss is over the pieces of English alone: the bundle has no others, they are half of the
    vocabulary, and a step took a fifth less time. The others are banned by the checkpoint's bias.

    Args:
        base: checkpoint to start from.
        data: directory of training data.
        dev: development sets, Arabic TAB English.
        dev_lines: how many of each are translated in an evaluation.
        dropout: share of activations left out.
        budget: pieces of one side of a batch, padding counted.
    """

    def __init__(
        self,
        base: Path,
        data: Path,
        dev: Sequence[Path],
        *,
        dev_lines: int,
        dropout: float,
        budget: int,
    ) -> None:
        self.base, self.budget = base, budget
        self.model = networks.load(MarianMTModel, base, dropout=dropout)
        self._pieces = Pieces.of(base)
        self._pairs = sources.read_pairs(data)
        self._weights = sources.weights_of(self._pairs, WEIGHTS)
        self._dev = {path.stem: sources.read_dev(path, dev_lines) for path in dev}
        self._padding: int = self.model.config.pad_token_id
        self._written = torch.tensor(self._pieces.writable())
        self._places = torch.full((len(self._pieces.rows),), networks.IGNORED)
        self._places[self._written] = torch.arange(len(self._written))
        self.model.final_logits_bias.fill_(_BANNED)
        self.model.final_logits_bias[0, self._written] = 0.0
        self.constrain()

    def batches(self, rng: random.Random, step: int) -> Iterator[Sequence[Example]]:
        """Endless batches, epoch after epoch; the step makes no difference."""
        del step
        while True:
            for pool in batches.pools(batches.draw(self._weights, rng)):
                examples = (self._example(index) for index in pool)
                short = [one for one in examples if max(map(len, one)) <= LONGEST]
                yield from batches.group(short, self.budget, rng)

    def _example(self, index: int) -> Example:
        pair, pieces = self._pairs[index], self._pieces
        return pieces.encode(pieces.source, pair.arabic), pieces.encode(pieces.target, pair.english)

    def loss(self, batch: Sequence[Example]) -> Any:  # noqa: ANN401 - a tensor
        """Cross entropy of a piece, labels smoothed."""
        read, mask, labels = networks.tensors(batch, self._padding)
        with torch.autocast("cpu", torch.bfloat16):
            states = self.model.model(
                input_ids=read,
                attention_mask=mask,
                decoder_input_ids=self.model.prepare_decoder_input_ids_from_labels(labels),
            ).last_hidden_state
            text = labels != networks.IGNORED
            rows = self.model.model.shared.weight[self._written]
            logits = torch.nn.functional.linear(states[text], rows)
        return torch.nn.functional.cross_entropy(
            logits.float(), self._places[labels[text]], label_smoothing=_SMOOTHING
        )

    def constrain(self) -> None:
        """Keep the start row at zero: CTranslate2 begins with a zero embedding."""
        with torch.no_grad():
            self.model.model.shared.weight[self._padding].zero_()

    def evaluate(self, model: Any) -> dict[str, object]:  # noqa: ANN401 - transformers has no types
        """BLEU and chrF of greedy outputs on each development set, and the first output."""
        figures: dict[str, object] = {}
        for name, rows in self._dev.items():
            outputs = self._translate(model, [arabic for arabic, _ in rows])
            for metric in (sacrebleu.BLEU(), sacrebleu.CHRF()):
                score = metric.corpus_score(outputs, [[english for _, english in rows]])
                figures[f"{name} {score.name}"] = round(score.score, 2)
                figures[f"{score.name} signature"] = str(metric.get_signature())
            figures[f"{name} first"] = outputs[0]
        return figures

    def _translate(self, model: Any, texts: Sequence[str]) -> list[str]:  # noqa: ANN401 - transformers has no types
        encoded = [self._pieces.encode(self._pieces.source, text) for text in texts]
        names = {row: piece for piece, row in self._pieces.rows.items()}
        written = networks.generate(model, encoded, most=_MOST_WRITTEN)
        special = {_END, self._padding}
        return [
            str(self._pieces.target.decode([names[row] for row in rows if row not in special]))
            for rows in written
        ]

    def export(self, model: Any, directory: Path) -> None:  # noqa: ANN401 - transformers has no types
        """A float16 checkpoint, tokenizers included."""
        networks.export(model, self.base, directory)
