"""Stand-ins have exactly the shape of what they stand in for."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
import sentencepiece

from khulasa_server.bundles.building import shapes, synthesize
from khulasa_server.bundles.errors import BuildError, OutputExistsError

if TYPE_CHECKING:
    from pathlib import Path


def count(name: str) -> int:
    """Parameters of a shape, as transformers counts them: positions too, no final bias."""
    config = shapes.SHAPES[name].config
    sizes = shapes.tensors(config)
    total = sum(math.prod(size) for tensor, size in sizes.items() if tensor != "final_logits_bias")
    positions: int = 2 * config.get("max_position_embeddings", 0) * config["d_model"]
    return total + positions


def test_production_shapes_have_the_published_sizes() -> None:
    """76.8 and 582.4 million parameters, the latter with an output layer of its own."""
    assert round(count("opus-mt-ar-en") / 1e6, 1) == 76.8
    assert round(count("xlsum") / 1e6, 1) == 582.4
    assert "lm_head.weight" in shapes.tensors(shapes.SHAPES["xlsum"].config)


def test_a_shape_must_be_known(tmp_path: Path) -> None:
    """A misspelled shape is answered with those there are."""
    with pytest.raises(BuildError, match="opus-mt-ar-en, xlsum"):
        synthesize.synthesize("opus", tmp_path / "out")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """An output that is there already is left alone."""
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputExistsError):
        synthesize.synthesize("opus-mt-ar-en", tmp_path / "out")


def test_the_same_seed_gives_the_same_checkpoint(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    """Weights depend on the seed alone."""
    shape = shapes.marian_shape(
        depth=16, layers=1, heads=2, inner=32, pieces_a_side=240, vocabulary=420
    )
    written = []
    for name, seed in (("a", 5), ("b", 6)):
        (tmp_path / name).mkdir()
        synthesize.write(tmp_path / name, shape, seed=seed, name="marian")
        written.append((tmp_path / name / "model.safetensors").read_bytes())
    original = (checkpoints["marian"] / "model.safetensors").read_bytes()
    assert written[0] == original != written[1]


def test_tokenizers_fit_the_rows(checkpoints: dict[str, Path]) -> None:
    """Both SentencePiece models and the vocabulary have exactly the sizes asked for."""
    directory = checkpoints["marian"]
    table = json.loads((directory / "vocab.json").read_bytes())
    assert sorted(table.values()) == list(range(420))
    for side in ("source", "target"):
        model = sentencepiece.SentencePieceProcessor(model_file=str(directory / f"{side}.spm"))
        assert model.get_piece_size() == 240
        known = {model.id_to_piece(number) for number in range(240)}
        assert known - {"<s>"} <= set(table)


def test_made_up_pieces_cut_real_text(checkpoints: dict[str, Path]) -> None:
    """Arabic text comes back from its pieces, in fewer of them than it has letters."""
    text = "وصل الوفد إلى القاهرة مساء أمس."
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(checkpoints["mt5"] / "spiece.model")
    )
    pieces = model.encode(text, out_type=str)
    assert model.decode(pieces) == text
    assert len(pieces) < len(text)
