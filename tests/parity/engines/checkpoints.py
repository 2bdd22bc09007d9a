"""Tiny checkpoints in Hugging Face layout whose random weights behave like trained ones.

Freshly initialized networks answer every input alike, and symmetric weights hide a wrong scale
or a lost bias. Here every norm, bias and embedding is drawn, and widely enough for outputs to
differ between inputs, to end at different lengths, and to be no near-ties.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sentencepiece
import torch
import transformers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DATA = Path(__file__).parents[2] / "data"
TARGET_TOKENS = (">>eng<<", ">>fra<<")

_DEPTH = 16
# By part of a tensor's name. Attention has to choose, and what it reads has to outweigh the
# token before, whose embedding is also its row of Marian's output layer.
_MARIAN_GAINS = {"q_proj": 4.0, "k_proj": 4.0, "encoder_attn": 4.0, "shared": 2.0, "": 2.0}
_MT5_GAINS = {"relative_attention_bias": 6.0, "shared": 3.0, "lm_head": 3.0, "": 1.6}


def arabic_lines() -> list[str]:
    """Paragraphs of the article that the product is first judged on."""
    text = (DATA / "article_ar.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line.strip()]


def english_lines() -> list[str]:
    """Sentences written for this."""
    return (DATA / "engines" / "english.txt").read_text("utf-8").splitlines()


def train_pieces(lines: Iterable[str], *, pieces: int, **settings: object) -> bytes:
    """A SentencePiece model in which some letters are unknown.

    Args:
        lines: text to learn from.
        pieces: size of its vocabulary.
        settings: of the trainer, besides.
    """
    model = io.BytesIO()
    trainer: Any = sentencepiece.SentencePieceTrainer
    trainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=pieces,
        model_type="unigram",
        num_threads=1,
        minloglevel=2,
        **{"character_coverage": 0.98, **settings},
    )
    return model.getvalue()


def train_mt5_pieces(lines: Iterable[str], *, pieces: int, **settings: object) -> bytes:
    """The same as mT5's: `<pad>`, `</s>`, `<unk>` are 0, 1, 2, and unknown letters are bytes."""
    numbers = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "byte_fallback": True}
    return train_pieces(lines, pieces=pieces, **{**numbers, **settings})


def marian(directory: Path, seed: int, **settings: object) -> None:
    """A MarianMT checkpoint with two target languages, a final bias and a zero `<pad>` row.

    Args:
        directory: to make.
        seed: of its weights.
        settings: of the tokenizers' trainer, besides.
    """
    directory.mkdir(parents=True)
    source = train_pieces(arabic_lines(), pieces=320, **settings)
    target = train_pieces(english_lines(), pieces=160, **settings)
    (directory / "source.spm").write_bytes(source)
    (directory / "target.spm").write_bytes(target)
    vocabulary = _marian_vocabulary(directory)
    languages = {"source_lang": "ar", "target_lang": "en"}
    _write(directory / "vocab.json", vocabulary)
    _write(directory / "tokenizer_config.json", {"tokenizer_class": "MarianTokenizer", **languages})
    model = transformers.MarianMTModel(_marian_config(len(vocabulary)))
    random = np.random.default_rng(seed)
    _draw(model, random, _MARIAN_GAINS)
    pad, end = vocabulary["<pad>"], vocabulary["</s>"]
    with torch.no_grad():
        model.model.shared.weight[pad] = 0
        bias = random.normal(0, 1, len(vocabulary)).astype(np.float32)
        bias[end] = bias.max() + 2
        model.final_logits_bias.copy_(torch.from_numpy(bias)[None])
    _save(model, directory, start=pad, end=end)


def mt5(directory: Path, seed: int, *, tied: bool, **settings: object) -> None:
    """An mT5 checkpoint with byte fallback.

    Args:
        directory: to make.
        seed: of its weights.
        tied: its output layer is the embedding.
        settings: of the tokenizer's trainer, besides.
    """
    directory.mkdir(parents=True)
    pieces = 600
    spiece = train_mt5_pieces([*arabic_lines(), *english_lines()], pieces=pieces, **settings)
    (directory / "spiece.model").write_bytes(spiece)
    tokenizer = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 96}
    _write(directory / "tokenizer_config.json", tokenizer)
    # The matrices have more rows than there are pieces, as in the published checkpoints.
    model = transformers.MT5ForConditionalGeneration(_mt5_config(pieces + 2))
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
    _draw(model, np.random.default_rng(seed), _MT5_GAINS)
    with torch.no_grad():
        # Likelier than any other row, so that outputs end.
        model.lm_head.weight[1] *= 2.5
    _save(model, directory, start=0, end=1)


def _marian_config(vocabulary: int) -> Any:  # noqa: ANN401 - transformers is not always there to be typed
    return transformers.MarianConfig(
        vocab_size=vocabulary,
        d_model=_DEPTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=2 * _DEPTH,
        decoder_ffn_dim=2 * _DEPTH,
        max_position_embeddings=64,
        activation_function="swish",
        scale_embedding=True,
        static_position_embeddings=True,
        decoder_start_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
        eos_token_id=0,
        bos_token_id=0,
        forced_eos_token_id=None,
    )


def _mt5_config(vocabulary: int) -> Any:  # noqa: ANN401 - transformers is not always there to be typed
    return transformers.MT5Config(
        vocab_size=vocabulary,
        d_model=_DEPTH,
        d_kv=8,
        d_ff=2 * _DEPTH,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )


def _draw(model: Any, random: np.random.Generator, gains: Mapping[str, float]) -> None:  # noqa: ANN401 - torch is not always there to be typed
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "embed_positions" in name:
                continue
            if weight.dim() == 1:
                drawn = random.normal(float(name.endswith("weight")), 0.25, weight.shape)
            else:
                gain = next(gain for part, gain in gains.items() if part in name)
                drawn = random.normal(0, gain * weight.shape[1] ** -0.5, weight.shape)
            weight.copy_(torch.from_numpy(drawn.astype(np.float32)))


def _save(model: Any, directory: Path, *, start: int, end: int) -> None:  # noqa: ANN401 - torch is not always there to be typed
    model.generation_config = transformers.GenerationConfig(
        num_beams=4,
        max_length=40,
        decoder_start_token_id=start,
        pad_token_id=start,
        eos_token_id=end,
    )
    model.save_pretrained(directory)


def _marian_vocabulary(directory: Path) -> dict[str, int]:
    pieces = dict.fromkeys(("</s>", "<unk>", *TARGET_TOKENS))
    for name in ("source.spm", "target.spm"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(directory / name))
        # The first three are special.
        pieces |= dict.fromkeys(processor.id_to_piece(n) for n in range(3, len(processor)))
    return {piece: number for number, piece in enumerate([*pieces, "<pad>"])}


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
