"""Pieces from sentencepiece alone are those of the authors' tokenizers."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import transformers

from khulasa_server.engines.base import UNKNOWN
from khulasa_server.engines.pieces import Pieces, collapse_whitespace

if TYPE_CHECKING:
    from types import ModuleType

DATA = Path(__file__).parents[2] / "data"
REAL_TOKENIZER = "KHULASA_REAL_TOKENIZER_DIR"


@pytest.fixture(scope="module")
def lines(checkpoints: ModuleType) -> list[str]:
    """Real lines in both languages."""
    tsv = (DATA / "engines" / "tatoeba.ar-en.tsv").read_text("utf-8").splitlines()
    sides = [side for line in tsv for side in line.split("\t")]
    return [*sides, *checkpoints.arabic_lines(), *checkpoints.english_lines()]


@pytest.mark.filterwarnings("ignore:.*sacremoses")
def test_marian_pieces_are_those_of_marian_tokenizer(lines: list[str]) -> None:
    """On the real opus-mt-ar-en tokenizer, every one of 2,000 lines has the same numbers."""
    if REAL_TOKENIZER not in os.environ:
        pytest.skip(f"{REAL_TOKENIZER} names no directory with opus-mt-ar-en's tokenizer")
    directory = Path(os.environ[REAL_TOKENIZER])
    tokenizer: Any = transformers.MarianTokenizer.from_pretrained(directory)
    vocabulary = json.loads((directory / "vocab.json").read_bytes())
    pieces = Pieces(directory / "source.spm", directory / "target.spm").encode(lines)
    ours = [[vocabulary.get(piece, vocabulary[UNKNOWN]) for piece in row] for row in pieces]
    assert len(lines) >= 2000
    assert ours == tokenizer(lines)["input_ids"]


@pytest.mark.filterwarnings("ignore:.*sacremoses")
def test_marian_texts_are_those_of_marian_tokenizer(lines: list[str]) -> None:
    """On the real opus-mt-ar-en tokenizer, English pieces become the same text."""
    if REAL_TOKENIZER not in os.environ:
        pytest.skip(f"{REAL_TOKENIZER} names no directory with opus-mt-ar-en's tokenizer")
    directory = Path(os.environ[REAL_TOKENIZER])
    tokenizer: Any = transformers.MarianTokenizer.from_pretrained(directory)
    ours = Pieces(directory / "target.spm", directory / "target.spm")
    rows = [row[:-1] for row in ours.encode(lines[:500])]
    theirs = [tokenizer.convert_tokens_to_string(list(row)) for row in rows]
    known = [index for index, text in enumerate(theirs) if UNKNOWN not in text]
    texts = ours.decode(rows)
    assert len(known) > 250
    assert [texts[index] for index in known] == [theirs[index] for index in known]


@pytest.fixture(scope="module")
def mt5_directory(
    checkpoints: ModuleType, lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tokenizer like mT5's, with normalization and byte fallback, of half the real lines."""
    directory = tmp_path_factory.mktemp("mt5-tokenizer")
    model = checkpoints.train_mt5_pieces(
        lines[::2], pieces=1500, normalization_rule_name="nmt_nfkc", character_coverage=0.995
    )
    (directory / "spiece.model").write_bytes(model)
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    (directory / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return directory


@pytest.fixture
def unusual() -> list[str]:
    """Texts that no line of the corpus looks like."""
    return [
        "مرحبا 😀 Ω €",
        "𓀀𓀁𓀂",
        "ﷺ ﻻ ﻷ",
        "ـــسلامـــ َُِّ",
        "٣٫٥٪ ١٬٠٠٠",
        "a\u00a0b\u3000c\u200bd\u200fe",
        "\n\n one \t two \n",
        "",
        " ",
    ]


def test_mt5_pieces_are_those_of_its_tokenizer(
    mt5_directory: Path, lines: list[str], unusual: list[str]
) -> None:
    """Every text has the same pieces, bytes included, once the tokenizer is told of them.

    transformers 5 rebuilds the SentencePiece model with `byte_fallback=False`, whatever the
    model says; here the same vocabulary gets its own flag back.
    """
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(mt5_directory)
    state = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    unigram = importlib.import_module("tokenizers").models.Unigram
    tokenizer.backend_tokenizer.model = unigram(
        [tuple(entry) for entry in state["vocab"]], state["unk_id"], byte_fallback=True
    )
    texts = [*lines, *unusual]
    ours = _mt5_pieces(mt5_directory).encode(texts)
    theirs = [tokenizer(collapse_whitespace(text))["input_ids"] for text in texts]
    assert [list(row) for row in ours] == list(map(tokenizer.convert_ids_to_tokens, theirs))
    assert sum(piece.startswith("<0x") for row in ours for piece in row) > 100


def test_mt5_pieces_differ_from_transformers_in_bytes_alone(
    mt5_directory: Path, lines: list[str], unusual: list[str]
) -> None:
    """As transformers ships it, its tokenizer says `<unk>` where ours says bytes, and no more."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(mt5_directory)
    for text in [*lines, *unusual]:
        (ours,) = _mt5_pieces(mt5_directory).encode([text])
        theirs = tokenizer.convert_ids_to_tokens(tokenizer(collapse_whitespace(text))["input_ids"])
        assert _bytes_unknown(ours) == _bytes_unknown(theirs)


def _mt5_pieces(directory: Path) -> Pieces:
    return Pieces(directory / "spiece.model", directory / "spiece.model", collapse_whitespace)


def _bytes_unknown(pieces: Any) -> list[str]:  # noqa: ANN401 - transformers is not always there to be typed
    """Each run of bytes, or of unknown pieces, as one unknown piece."""
    told = [UNKNOWN if piece.startswith("<0x") else str(piece) for piece in pieces]
    return [
        piece
        for piece, before in zip(told, ["", *told[:-1]], strict=True)
        if piece != UNKNOWN or before != UNKNOWN
    ]
