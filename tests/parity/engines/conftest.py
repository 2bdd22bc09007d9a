"""Tiny checkpoints, each with both engines on it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from khulasa_server.bundles.building.build import Recorder, build
from khulasa_server.bundles.building.describe import BuildOptions, Origin
from khulasa_server.bundles.manifest import Quantization
from khulasa_server.engines.base import END, GenerationOptions
from khulasa_server.engines.ctranslate2 import CTranslate2Engine
from khulasa_server.engines.transformers import TransformersEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import Engine, Generation, Tokens

COMMITTED = Path(__file__).parents[2] / "data" / "engines"
LONGEST = 40


@dataclass(frozen=True)
class Pair:
    """One checkpoint, served and as its authors run it."""

    bundle: Bundle
    served: CTranslate2Engine
    reference: TransformersEngine
    inputs: list[Tokens]
    target_token: str


@pytest.fixture(scope="session")
def checkpoints() -> ModuleType:
    """The module beside this one."""
    path = Path(__file__).with_name("checkpoints.py")
    spec = importlib.util.spec_from_file_location("tiny_checkpoints", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def sentences(checkpoints: ModuleType) -> list[str]:
    """Clauses of the article, with a few letters that no tiny tokenizer knows."""
    clauses = [
        clause
        for line in checkpoints.arabic_lines()
        for clause in re.split(r"(?<=[.،:])\s+", line)
        if clause
    ]
    return [*clauses, "سعر الخبز 3.5€ 😀", "Ωмир سلام", ""]


@pytest.fixture(scope="session")
def built() -> Callable[[Path, Path], Bundle]:
    """Converts a tiny checkpoint to a float32 bundle with every piece of its vocabulary."""

    def convert(checkpoint: Path, output: Path) -> Bundle:
        return build(
            Origin(checkpoint),
            output,
            BuildOptions(
                quantization=Quantization.FLOAT32,
                license="Apache-2.0",
                languages=("ar",),
                target_languages=("en",),
                # What transformers can write, CTranslate2 has to be able to write.
                full_vocabulary=True,
            ),
            Recorder(
                lambda path, manifest: CTranslate2Engine(path, manifest, workers=1, threads=1),
                GenerationOptions(beam_size=1, max_output_tokens=16),
            ),
        )

    return convert


@pytest.fixture(scope="session", params=["marian", "mt5-untied", "mt5-tied"])
def pair(
    request: pytest.FixtureRequest,
    checkpoints: ModuleType,
    sentences: list[str],
    built: Callable[[Path, Path], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    """Both engines on a checkpoint of each kind."""
    directory = tmp_path_factory.mktemp(request.param)
    make: dict[str, Callable[[Path], None]] = {
        "marian": lambda path: checkpoints.marian(path, 9),
        "mt5-untied": lambda path: checkpoints.mt5(path, 2, tied=False),
        "mt5-tied": lambda path: checkpoints.mt5(path, 2, tied=True),
    }
    make[request.param](directory / "checkpoint")
    bundle = built(directory / "checkpoint", directory / "bundle")
    served = CTranslate2Engine(bundle.path, bundle.manifest, workers=1, threads=1)
    reference = TransformersEngine(directory / "checkpoint", bundle.manifest, threads=1)
    inputs = [_cut(tokens) for tokens in served.tokenize(sentences)]
    token = next(iter(bundle.manifest.target_tokens.values()), "")
    yield Pair(bundle, served, reference, inputs, token)
    served.close()
    reference.close()


@dataclass(frozen=True)
class Goldens:
    """What transformers wrote, committed so that it is tested without it.

    Args:
        directory: with a directory for each family.
        renew: write everything anew, checkpoints first.
    """

    directory: Path
    renew: bool

    def content(
        self, engine: Engine, texts: Sequence[str], target_tokens: Sequence[str]
    ) -> dict[str, Any]:
        """What an engine writes now."""
        batch = [_cut(row) for row in engine.tokenize(texts)]
        return {
            "inputs": [list(row) for row in batch],
            "cases": [
                {
                    "options": asdict(options),
                    "outputs": [_plain(output) for output in engine.generate(batch, options)],
                }
                for options in _golden_options(target_tokens)
            ],
        }

    def write(self, family: str, content: object) -> None:
        """Record what an engine writes."""
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (self.directory / family / "golden.json").write_text(text, "utf-8")

    def recorded(self, family: str) -> Any:  # noqa: ANN401 - JSON
        """What was recorded."""
        return json.loads((self.directory / family / "golden.json").read_bytes())


@pytest.fixture
def goldens() -> Goldens:
    """The committed ones; `KHULASA_WRITE_GOLDENS=1` renews them."""
    return Goldens(COMMITTED, renew=os.environ.get("KHULASA_WRITE_GOLDENS") == "1")


def _golden_options(target_tokens: Sequence[str]) -> list[GenerationOptions]:
    options = [
        GenerationOptions(
            beam_size=beam,
            length_penalty=penalty,
            no_repeat_ngram_size=ngram,
            max_output_tokens=24,
            target_token=target_tokens[0],
        )
        for beam, penalty, ngram in product((1, 4), (0.6, 1.0), (0, 2))
        if beam > 1 or penalty == 1
    ]
    short = [GenerationOptions(max_output_tokens=3, target_token=token) for token in target_tokens]
    return [*options, *short]


def _plain(output: Generation) -> dict[str, Any]:
    return {
        "text": output.text,
        "tokens": list(output.tokens),
        "score": round(output.score, 6),
        "finish": output.finish.value,
    }


def _cut(tokens: Tokens) -> Tokens:
    return tokens if len(tokens) <= LONGEST else (*tokens[: LONGEST - 1], END)
