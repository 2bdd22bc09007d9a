"""Tiny checkpoints in every variant that once went wrong, and transformers to compare with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy
import sentencepiece
import torch
import transformers

from khulasa_server.bundles.building import shapes, synthesize
from khulasa_server.bundles.building.build import Recorder, build
from khulasa_server.bundles.building.describe import BuildOptions, Origin
from khulasa_server.bundles.canary import golden_lines
from khulasa_server.bundles.manifest import Quantization
from khulasa_server.engines.ctranslate2 import CTranslate2Engine
from khulasa_server.engines.proving import GREEDY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import GenerationOptions

Tokens = tuple[str, ...]

BANNED = -1e9
DATA = Path(__file__).parents[2] / "data"

MARIAN = shapes.marian_shape(
    depth=32, layers=2, heads=4, inner=64, pieces_a_side=300, vocabulary=560
)
# Heads whose size times their number is not the depth, as in mt5-small.
MT5 = shapes.mt5_shape(depth=32, head=12, layers=2, heads=4, inner=64, pieces_known=700, rows=712)


@dataclass(frozen=True, slots=True)
class Reference:
    """transformers on a checkpoint's directory, speaking in pieces.

    Args:
        model: what transformers loaded.
        pieces: of the checkpoint by their number.
    """

    model: Any
    pieces: tuple[str, ...]

    def ids(self, tokens: Tokens) -> list[int]:
        """Numbers of pieces, that of `<unk>` for those that are none."""
        unknown = self.pieces.index("<unk>")
        numbers = {piece: number for number, piece in enumerate(self.pieces)}
        return [numbers.get(token, unknown) for token in tokens]

    def generate(
        self, source: Tokens, options: GenerationOptions, allowed: Sequence[str]
    ) -> Tokens:
        """One output, alone in its batch; pieces that are not allowed are suppressed."""
        kept = frozenset(allowed)
        with torch.no_grad():
            output = self.model.generate(
                torch.tensor([self.ids(source)]), generation_config=self._settings(options, kept)
            )[0, 1:]
        end = self.model.config.eos_token_id
        numbers = [number for number in output.tolist() if number != end]
        return tuple(self.pieces[number] for number in numbers)

    def _settings(self, options: GenerationOptions, kept: frozenset[str]) -> Any:  # noqa: ANN401 - transformers has no types
        suppressed = [number for number, piece in enumerate(self.pieces) if piece not in kept]
        config = self.model.config
        return transformers.GenerationConfig(
            num_beams=options.beam_size,
            max_length=options.max_output_tokens + 1,
            length_penalty=options.length_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            suppress_tokens=suppressed or None,
            early_stopping=options.beam_size > 1,
            renormalize_logits=True,
            decoder_start_token_id=config.decoder_start_token_id,
            pad_token_id=config.pad_token_id,
            eos_token_id=config.eos_token_id,
        )

    def score(self, source: Tokens, target: Tokens, allowed: Sequence[str]) -> list[float]:
        """Log-probability of each target token and of the end, over the allowed pieces."""
        end = self.model.config.eos_token_id
        labels = [*self.ids(target), end]
        start = self.model.config.decoder_start_token_id
        kept = frozenset(allowed)
        mask = torch.tensor([0.0 if piece in kept else BANNED for piece in self.pieces])
        with torch.no_grad():
            logits = self.model(
                input_ids=torch.tensor([self.ids(source)]),
                decoder_input_ids=torch.tensor([[start, *labels[:-1]]]),
            ).logits[0]
        logs = torch.log_softmax(logits + mask, dim=-1)
        return [float(logs[place, label]) for place, label in enumerate(labels)]


def _engine(directory: Path, manifest: Manifest) -> CTranslate2Engine:
    return CTranslate2Engine(directory, manifest, workers=1, threads=1)


def written_pieces(bundle: Bundle) -> tuple[str, ...]:
    """Pieces a bundle can write: Marian's decoder starts with `<pad>` and never writes it."""
    shared = bundle.model_directory / "shared_vocabulary.json"
    file = shared if shared.is_file() else shared.with_name("target_vocabulary.json")
    banned = "<pad>" if bundle.manifest.architecture == "marian" else ""
    return tuple(piece for piece in json.loads(file.read_text("utf-8")) if piece != banned)


@dataclass(frozen=True, slots=True)
class Variant:
    """A checkpoint and everything made of it.

    Args:
        directory: the checkpoint.
        reference: transformers on it.
        bundle: built from it in float32.
        engine: CTranslate2 on the bundle.
    """

    directory: Path
    reference: Reference
    bundle: Bundle
    engine: CTranslate2Engine

    def allowed(self) -> tuple[str, ...]:
        """Pieces the bundle can write."""
        return written_pieces(self.bundle)


def _nothing(_config: dict[str, Any], _tensors: dict[str, Any]) -> None:
    """Leave the checkpoint as it was made: Marian's pad row is zero."""


def _pad_row(config: dict[str, Any], tensors: dict[str, Any]) -> None:
    generator = np.random.default_rng(7)
    row = generator.standard_normal(config["d_model"], dtype=np.float32)
    tensors["model.shared.weight"][config["pad_token_id"]] = row


def _final_bias(_config: dict[str, Any], tensors: dict[str, Any]) -> None:
    tensors["final_logits_bias"] *= 30.0


def _untied(_config: dict[str, Any], tensors: dict[str, Any]) -> None:
    # Trained models never write <pad>. transformers counts the one that decoding starts with as
    # part of an n-gram, CTranslate2 does not: without this the two differ where one is written.
    tensors["lm_head.weight"][0] = 0.0


def _tied(config: dict[str, Any], tensors: dict[str, Any]) -> None:
    _untied(config, tensors)
    config["tie_word_embeddings"] = True
    tensors["shared.weight"] = tensors.pop("lm_head.weight")


VARIANTS = {
    "marian": (MARIAN, _nothing),
    "marian-final-bias": (MARIAN, _final_bias),
    "marian-pad-row": (MARIAN, _pad_row),
    "mt5-untied": (MT5, _untied),
    "mt5-tied": (MT5, _tied),
}


def _write(directory: Path, name: str) -> None:
    shape, edit = VARIANTS[name]
    directory.mkdir()
    synthesize.write(directory, shape, seed=3, name=name)
    config = {**shape.config, "transformers_version": transformers.__version__}
    file = directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(file)
    edit(config, tensors)
    safetensors.numpy.save_file(tensors, file)
    (directory / "config.json").write_text(json.dumps(config), "utf-8")


def _reference(directory: Path, name: str) -> Reference:
    reference = _load_reference(directory, name)
    # What a call leaves unset would be taken from the checkpoint's own file.
    reference.model.generation_config = transformers.GenerationConfig()
    reference.model.eval()
    return reference


def _load_reference(directory: Path, name: str) -> Reference:
    if name.startswith("marian"):
        model: Any = transformers.MarianMTModel.from_pretrained(directory)
        table = json.loads((directory / "vocab.json").read_text("utf-8"))
        return Reference(model, tuple(sorted(table, key=table.__getitem__)))
    model = transformers.MT5ForConditionalGeneration.from_pretrained(directory)
    spm = sentencepiece.SentencePieceProcessor(model_file=str(directory / "spiece.model"))
    pieces = tuple(spm.id_to_piece(number) for number in range(spm.get_piece_size()))
    padding = tuple(f"<extra_id_{n}>" for n in range(model.config.vocab_size - len(pieces)))
    return Reference(model, pieces + padding)


@pytest.fixture(scope="session")
def lines() -> tuple[str, ...]:
    """Arabic lines of up to 60 pieces or so."""
    article = (DATA / "article_ar.txt").read_text("utf-8").splitlines()
    return (*golden_lines("ar"), *(line[:60] for line in article if line.strip()))


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Bundle]:
    """Build a bundle; further arguments are build options."""

    def make(directory: Path, output: Path, **options: Any) -> Bundle:  # noqa: ANN401 - passed on
        chosen = {"quantization": Quantization.FLOAT32, **options}
        return build(Origin(directory), output, BuildOptions(**chosen), Recorder(_engine, GREEDY))

    return make


@pytest.fixture(scope="session")
def open_engine() -> Callable[[Bundle], CTranslate2Engine]:
    """Load a bundle."""
    return lambda bundle: _engine(bundle.path, bundle.manifest)


@pytest.fixture(scope="session")
def build_and_open(make_bundle: Callable[..., Bundle]) -> Callable[..., CTranslate2Engine]:
    """Build a bundle and load it."""

    def build_and_open(directory: Path, output: Path, **options: Any) -> CTranslate2Engine:  # noqa: ANN401 - passed on
        bundle = make_bundle(directory, output, **options)
        return _engine(bundle.path, bundle.manifest)

    return build_and_open


@pytest.fixture(scope="session")
def open_variant(
    tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Bundle]
) -> Callable[[str], Variant]:
    """A variant by its name: its checkpoint, reference and float32 bundle with every piece."""

    @cache
    def open_variant(name: str) -> Variant:
        root = tmp_path_factory.mktemp(name)
        directory = root / "checkpoint"
        _write(directory, name)
        bundle = make_bundle(directory, root / "bundle", full_vocabulary=True)
        engine = _engine(bundle.path, bundle.manifest)
        return Variant(directory, _reference(directory, name), bundle, engine)

    return open_variant


@pytest.fixture(params=[*VARIANTS])
def variant(request: pytest.FixtureRequest, open_variant: Callable[[str], Variant]) -> Variant:
    """Each variant in turn."""
    return open_variant(request.param)


@pytest.fixture(scope="session")
def pieces_of() -> Callable[[Bundle], tuple[str, ...]]:
    """Pieces a bundle can write."""
    return written_pieces
