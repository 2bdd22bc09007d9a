"""Checkpoints with random weights, of a production shape or of a tiny one.

They stand in for the real ones where speed and memory are measured and the Hub is out of reach.
What they write is noise, and never ends by itself: only figures at a fixed length mean anything.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from khulasa_server.bundles.building import alphabets, pieces, shapes
from khulasa_server.bundles.building.pieces import CONTROL, UNKNOWN, Piece
from khulasa_server.bundles.building.shapes import SHAPES
from khulasa_server.bundles.building.staging import staged
from khulasa_server.bundles.building.tools import require
from khulasa_server.bundles.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from khulasa_server.bundles.building.checkpoint import Settings
    from khulasa_server.bundles.building.shapes import Shape
    from khulasa_server.bundles.building.weights import Tensor

_CARD = """---
license: {license}
language: {languages}
---
# Random weights of the shape of {name}

Made by `khulasa-server models synthesize`, seed {seed}. For figures of speed and memory at a
fixed length only: it has learned nothing, and it never stops by itself.
"""


def synthesize(name: str, output: Path, *, seed: int = 0) -> Path:
    """Write a checkpoint of the shape of a published one, with random weights.

    Args:
        name: short name of the published checkpoint.
        output: directory to make; appears whole or not at all.
        seed: of everything random.

    Raises:
        BuildError: no such shape, or a package is missing.
        OutputExistsError: `output` is there already.
    """
    if name not in SHAPES:
        raise BuildError(f"{name!r} is no shape; there are {', '.join(SHAPES)}")
    with staged(output) as stage:
        write(stage, SHAPES[name], seed=seed, name=name)
    return output


def write(directory: Path, shape: Shape, *, seed: int, name: str) -> None:
    """Write a checkpoint's files into a directory that exists.

    Args:
        directory: where.
        shape: what it looks like.
        seed: of everything random.
        name: what it is a stand-in of; for its card.
    """
    marian = shape.config["model_type"] == "marian"
    card = {"license": "cc0-1.0", "languages": "ar", "name": name, "seed": seed}
    (directory / "README.md").write_text(_CARD.format(**card), "utf-8")
    _write_json(directory / "config.json", shape.config)
    _write_json(directory / "generation_config.json", shape.generation_config)
    (_write_marian_tokenizer if marian else _write_mt5_tokenizer)(directory, shape)
    tensors = random_tensors(shape.config, seed=seed)
    require("safetensors.numpy").save_file(tensors, directory / "model.safetensors")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")


def _write_marian_tokenizer(directory: Path, shape: Shape) -> None:
    specials = [
        Piece("<unk>", 0.0, UNKNOWN),
        Piece("<s>", 0.0, CONTROL),
        Piece("</s>", 0.0, CONTROL),
    ]
    sizes = [size - len(specials) for size in (shape.source_pieces, shape.target_pieces)]
    vocabulary = int(shape.config["vocab_size"])
    # As many pieces are on both sides as make the two fit one vocabulary with its specials.
    shared = alphabets.common(sum(sizes) + 3 - vocabulary)
    table = ["</s>", "<unk>", *shared]
    for side, alphabet, size in zip(
        ("source", "target"), (alphabets.ARABIC, alphabets.LATIN), sizes, strict=True
    ):
        own = alphabets.syllables(alphabet, size - len(shared))
        model = pieces.unigram([*specials, *alphabets.scored([*shared, *own])])
        (directory / f"{side}.spm").write_bytes(model)
        table += own
    table.append("<pad>")
    _write_json(directory / "vocab.json", {piece: number for number, piece in enumerate(table)})
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "MarianTokenizer",
            "source_lang": "ar",
            "target_lang": "en",
            "model_max_length": shape.config["max_position_embeddings"],
            "separate_vocabs": False,
        },
    )


def _write_mt5_tokenizer(directory: Path, shape: Shape) -> None:
    specials = [
        Piece("<pad>", 0.0, CONTROL),
        Piece("</s>", 0.0, CONTROL),
        Piece("<unk>", 0.0, UNKNOWN),
    ]
    known = [*specials, *pieces.byte_pieces()]
    left = shape.source_pieces - len(known)
    signs = alphabets.common(left // 4)
    arabic = alphabets.syllables(alphabets.ARABIC, left // 3)
    latin = alphabets.syllables(alphabets.LATIN, left - len(signs) - len(arabic))
    model = pieces.unigram(
        [*known, *alphabets.scored([*signs, *arabic, *latin])], byte_fallback=True
    )
    (directory / "spiece.model").write_bytes(model)
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 512}
    _write_json(directory / "tokenizer_config.json", settings)


def random_tensors(config: Settings, *, seed: int) -> dict[str, Tensor]:
    """Every tensor of a checkpoint, of the sizes that training leaves them in.

    Nothing is symmetric, as it would be right after initialization: biases are not zero and
    normalizations not one, so that a mistake in any of them shows.
    """
    generator = np.random.default_rng(seed)
    tensors: dict[str, Tensor] = {}
    for name, size in shapes.tensors(config).items():
        values = generator.standard_normal(size, dtype=np.float32)
        mean, spread = _distribution(name, size, config)
        values *= spread
        values += mean
        tensors[name] = values
    if config["model_type"] == "marian":
        tensors["model.shared.weight"][config["pad_token_id"]] = 0.0
    return tensors


def _distribution(name: str, size: Sequence[int], config: Settings) -> tuple[float, float]:
    """Mean and standard deviation of a tensor."""
    if name.endswith("norm.weight"):
        # Logits then spread as far as a trained model's.
        last = f"model.decoder.layers.{config.get('decoder_layers', 0) - 1}.final_layer_norm.weight"
        return (3.0 if name == last else 1.0), 0.2
    if name.endswith("bias") or "relative_attention_bias" in name:
        return 0.0, 0.05
    fan_in = 1.0 / math.sqrt(size[-1])
    if name == "shared.weight":
        return 0.0, 1.0
    if name == "lm_head.weight" or name.endswith(("_proj.weight", "fc2.weight")):
        # Strong enough that attention chooses, and that the next piece is not the last one again.
        return 0.0, 3.0 * fan_in
    if name.endswith(("SelfAttention.q.weight", "EncDecAttention.q.weight")):
        # T5 does not divide the products of queries and keys.
        return 0.0, fan_in / math.sqrt(config["d_kv"])
    return 0.0, fan_in
