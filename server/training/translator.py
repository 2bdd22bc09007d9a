"""The embedded translator: MarianMT, Arabic to English."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import sacrebleu
import sentencepiece
import torch
from transformers import MarianMTModel

from training import alignments, batches, mosaics, networks, sources
from training.alignments import NONE

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from training.batches import Example, Linked, Numbers
    from training.sources import Pair

WEIGHTS: Final = {
    "ntrex": 1.5,
    "tatoeba": 2.5,
    "flores_dev": 1.0,
    "flores_devtest/dialects": 0.1,
    "nllb_seed/ary": 1.0,
    "nllb_seed/arz": 0.3,
    "mt_geneval": 0.7,
    "distilled": 0.25,
    "xquad": 1.0,
    "tico19/": 1.0,
    "syrian_archive": 1.0,
    "open_sdg": 1.0,
    "bitcoin_org": 0.7,
    "opensource_guide": 0.7,
    "mozilla_www": 0.5,
    "owasp_top10": 0.5,
    "raspberrypi_projects": 0.5,
    "debian_handbook": 0.4,
    "ms_project_operations": 0.4,
    "ms_lessons_mt": 0.3,
    "react_docs": 0.3,
    "vue_docs": 0.3,
    "bible_nav_web": 0.2,
    "l10n/": 0.2,
    "lex:": 0.3,
    "lex:arwikicats": 0.2,
    "lex:freedict": 1.0,
}
"""How often a pair is seen in an epoch: what reads like news or everyday talk most often."""

LONGEST: Final = 120
"""Pieces of one side of a pair that is learned from."""
_END, _UNKNOWN = 0, 1
_BANNED = -1e4
"""Bias of a piece that is never written; fits float16."""
_SMOOTHING = 0.1
_MOST_WRITTEN = 90
_SHARPNESS = 0.5
_SAMPLED = 0.5
"""Share of sources that are cut at random."""
_GUIDANCE = 0.2
_GUIDED = 4
"""Heads of the last layer that learn to look at the word which is being translated."""
_LEAST = 1e-4
_SPACE = "\u2581"


@dataclass(frozen=True, slots=True)
class Pieces:
    """The two tokenizers and the vocabulary that they share.

    Args:
        source: of Arabic.
        target: of English.
        rows: of each piece in the model's vocabulary.
        names: of the piece of each row.
    """

    source: Any
    target: Any
    rows: dict[str, int]
    names: dict[int, str]

    @classmethod
    def of(cls, directory: Path) -> Pieces:
        """Those of a checkpoint."""
        source, target = (
            sentencepiece.SentencePieceProcessor(model_file=str(directory / f"{side}.spm"))
            for side in ("source", "target")
        )
        rows: dict[str, int] = json.loads((directory / "vocab.json").read_text("utf-8"))
        return cls(source, target, rows, {row: piece for piece, row in rows.items()})

    def encode(self, tokenizer: Any, text: str) -> Numbers:  # noqa: ANN401 - sentencepiece has no types
        """Rows of a text's pieces, end of sequence last."""
        return self._rows_of(tokenizer.encode(text, out_type=str))

    def sample(self, tokenizer: Any, text: str) -> Numbers:  # noqa: ANN401 - sentencepiece has no types
        """As `encode`, cut at random as the tokenizer's probabilities say.

        Source: T. Kudo, "Subword Regularization", ACL 2018, with α 0.5.
        """
        return self._rows_of(
            tokenizer.encode(
                text, out_type=str, enable_sampling=True, alpha=_SHARPNESS, nbest_size=-1
            )
        )

    def _rows_of(self, pieces: Sequence[str]) -> Numbers:
        return [*(self.rows.get(piece, _UNKNOWN) for piece in pieces), _END]

    def words(self, rows: Numbers) -> Numbers:
        """The number of the word that each piece is part of, from 0; the end is one of its own."""
        begins = (row == _END or self.names[row].startswith(_SPACE) for row in rows)
        return [number - 1 for number in itertools.accumulate(map(int, begins))]

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
        links: of the words of each pair of `data`, as `alignments.write` writes them; without
            them it is not taught where to look.
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
        links: Path | None,
        dev_lines: int,
        dropout: float,
        budget: int,
    ) -> None:
        self.base, self.budget = base, budget
        self.model = networks.load(MarianMTModel, base, dropout=dropout)
        self._pieces = Pieces.of(base)
        self._pairs = _read(data, links)
        self._weights = sources.weights_of(self._pairs, WEIGHTS)
        self._dev = {path.stem: sources.read_dev(path, dev_lines) for path in dev}
        self._padding: int = self.model.config.pad_token_id
        self._written = torch.tensor(self._pieces.writable())
        self._places = torch.full((len(self._pieces.rows),), networks.IGNORED)
        self._places[self._written] = torch.arange(len(self._written))
        self.model.final_logits_bias.fill_(_BANNED)
        self.model.final_logits_bias[0, self._written] = 0.0
        self.constrain()

    def batches(self, rng: random.Random, step: int) -> Iterator[Sequence[Linked]]:
        """Endless batches, epoch after epoch; the step makes no difference."""
        del step
        sentencepiece.set_random_generator_seed(rng.getrandbits(31))
        while True:
            for pool in batches.pools(batches.draw(self._weights, rng)):
                pairs = mosaics.join((self._pairs[index] for index in pool), rng)
                examples = [self._example(pair, rng.random() < _SAMPLED) for pair in pairs]
                short = [one for one in examples if max(map(len, one)) <= LONGEST]
                yield from batches.group(short, self.budget, rng)

    def _example(self, pair: Pair, sampled: bool) -> Linked:  # noqa: FBT001 - one call
        pieces = self._pieces
        cut = pieces.sample if sampled else pieces.encode
        read, written = cut(pieces.source, pair.arabic), pieces.encode(pieces.target, pair.english)
        places, words = pieces.words(read), pieces.words(written)
        if max(words) != len(pair.links) or max(places) != len(pair.arabic.split()):
            return read, written, places, [NONE] * len(written)
        return read, written, places, [(*pair.links, NONE)[word] for word in words]

    def loss(self, batch: Sequence[Linked]) -> Any:  # noqa: ANN401 - a tensor
        """Cross entropy of a piece, labels smoothed, and of looking at what it translates."""
        rows: Sequence[Example] = [(read, written) for read, written, _, _ in batch]
        read, mask, labels = networks.tensors(rows, self._padding)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.model.model(
                input_ids=read,
                attention_mask=mask,
                decoder_input_ids=self.model.prepare_decoder_input_ids_from_labels(labels),
                output_attentions=True,
            )
            text = labels != networks.IGNORED
            weights = self.model.model.shared.weight[self._written]
            logits = torch.nn.functional.linear(outputs.last_hidden_state[text], weights)
        translated = torch.nn.functional.cross_entropy(
            logits.float(), self._places[labels[text]], label_smoothing=_SMOOTHING
        )
        return translated + _GUIDANCE * _unseen(outputs.cross_attentions[-1], batch)

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
        names = self._pieces.names
        written = networks.generate(model, encoded, most=_MOST_WRITTEN)
        special = {_END, self._padding}
        return [
            str(self._pieces.target.decode([names[row] for row in rows if row not in special]))
            for rows in written
        ]

    def export(self, model: Any, directory: Path) -> None:  # noqa: ANN401 - transformers has no types
        """A float16 checkpoint, tokenizers included."""
        networks.export(model, self.base, directory)


def _read(data: Path, links: Path | None) -> list[Pair]:
    pairs = sources.read_pairs(data)
    if links:
        linked = zip(pairs, alignments.read(links, pairs), strict=True)
        pairs = [replace(pair, links=one) for pair, one in linked]
    return list(itertools.compress(pairs, mosaics.known(pairs)))


def _unseen(attention: Any, batch: Sequence[Linked]) -> Any:  # noqa: ANN401 - tensors
    """Cross entropy between where some heads look and the word that is being translated.

    Args:
        attention: `[items, heads, pieces written, pieces read]`.
        batch: what was read and written, and how both are linked.
    """
    places = torch.tensor(batches.pad([places for _, _, places, _ in batch], NONE - 1))
    links = torch.tensor(batches.pad([links for *_, links in batch], NONE))
    seen = (attention[:, :_GUIDED].float().mean(1) * (places[:, None] == links[..., None])).sum(-1)
    linked = seen[links != NONE]
    return -linked.clamp_min(_LEAST).log().sum() / max(1, len(linked))
