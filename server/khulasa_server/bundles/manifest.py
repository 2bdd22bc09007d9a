"""`manifest.json`: everything that is known about a bundle besides its weights."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Literal[1] = 1
MANIFEST_NAME = "manifest.json"
MODEL_DIRECTORY = "model"
"""Where, in a bundle, the engine's own files are."""

GOLDEN_INPUT_TOKENS = 32
GOLDEN_OUTPUT_TOKENS = 16


def _inside(path: str) -> str:
    parts = path.split("/")
    if not all(parts) or "\\" in path or {".", ".."} & set(parts):
        raise ValueError(f"{path!r} is not a plain path inside the bundle")
    return path


RelativePath = Annotated[str, AfterValidator(_inside)]
"""Path inside the bundle, `/` between its parts, never leading out of it."""


def digest_of(content: Mapping[str, Any]) -> str:
    """`sha256:…` over a manifest as it is in JSON, its own digest left out.

    It is computed from what the file says, not from what this version understands of it, so
    that a later version with more fields computes the same.
    """
    rest = {key: value for key, value in content.items() if key != "digest"}
    canonical = json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


class Task(StrEnum):
    """What a model does with a text."""

    TRANSLATE = "translate"
    SUMMARIZE = "summarize"


class Architecture(StrEnum):
    """Families of checkpoints that can be built."""

    MARIAN = "marian"
    MT5 = "mt5"


class Quantization(StrEnum):
    """Arithmetic of the weights on disk."""

    INT8 = "int8"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Part):
    """Where the checkpoint came from, and on what terms."""

    repository: str
    """Hub id, or the name of the directory it was read from."""
    revision: str
    """Commit of the repository, or `sha256:…` of the weights where there is none."""
    license: str
    """SPDX identifier."""
    license_notice: str = ""
    """What a user must know of the licence, in one sentence."""


class Limits(_Part):
    """Sizes, in tokens with end of sequence, unless said otherwise."""

    max_input_tokens: int = Field(ge=2)
    """Hard: the model has no positions beyond it, or garbles."""
    segment_tokens: int = Field(ge=2)
    """Soft: longer segments are split at clause marks, since these are sentence models."""
    max_output_tokens: int = Field(ge=1)
    """Most tokens a caller may ask for, end of sequence not counted."""


class Generation(_Part):
    """Default generation options, from the model's own generation config."""

    beam_size: int = Field(ge=1, le=16)
    max_output_tokens: int = Field(ge=1)
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = Field(default=0, ge=0)
    repetition_penalty: float = Field(default=1.0, gt=0)


class Tokenizer(_Part):
    """How text becomes pieces; files are relative to the bundle."""

    source: RelativePath
    """SentencePiece model of the input."""
    target: RelativePath
    """SentencePiece model of the output; the same file for mT5."""
    preprocessing: Literal["none", "collapse_whitespace"]
    """What the model card asks for before SentencePiece."""


class VowelMarks(_Part):
    """What is done about Arabic vowel marks before the tokenizer, and what was measured."""

    policy: Literal["keep", "remove", "remove_when_vocalized"] = "keep"
    pieces_per_word_kept: float = 0.0
    """Of fully vocalized Arabic; 0: not measured."""
    pieces_per_word_removed: float = 0.0
    """Of the same text without its marks."""


class Trimming(_Part):
    """What was left out of the checkpoint's vocabulary."""

    pieces_before: int
    """Rows of the checkpoint's output layer."""
    parameters_before: int
    map: RelativePath
    """JSON: the checkpoint's row of every piece kept; `shared`, or `source` and `target`."""
    languages: tuple[str, ...] = ()
    """Whose scripts were kept; empty where scripts did not decide."""
    corpus_sha256: str = ""
    """Digest of the text whose pieces were kept; empty where there was none."""


class File(_Part):
    """One file of the bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    """Bytes."""


class Golden(_Part):
    """One input whose greedy output was recorded when the bundle was built."""

    input: str
    input_tokens: tuple[str, ...] = Field(max_length=GOLDEN_INPUT_TOKENS)
    """Pieces with end of sequence."""
    output: str
    output_tokens: tuple[str, ...] = Field(max_length=GOLDEN_OUTPUT_TOKENS)
    """Pieces without end of sequence."""
    score: float
    """Teacher-forced mean log-probability per token, end of sequence counted."""


class Manifest(_Part):
    """What a model is on disk."""

    format: Literal[1] = FORMAT
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    task: Task
    architecture: Architecture
    source: Source
    source_language_codes: tuple[str, ...]
    """BCP-47, sorted."""
    target_language_codes: tuple[str, ...]
    """BCP-47, sorted; for a summarizer the same as the source's."""
    target_tokens: dict[str, str] = {}
    """For models with several targets: language code → `>>xxx<<`."""
    demonstration: bool
    """True: trained for show, not for use."""
    production_build: str = ""
    """For a demonstration model: the command that builds the real one."""
    quantization: Quantization
    parameters: int
    """Numbers in the weights as built, each shared matrix counted once."""
    vocabulary_size: int
    """Pieces that can be written."""
    source_vocabulary_size: int
    """Pieces that can be read."""
    trimming: Trimming | None = None
    """None: every piece of the checkpoint was kept."""
    limits: Limits
    generation: Generation
    tokenizer: Tokenizer
    vowel_marks: VowelMarks = VowelMarks()
    files: dict[RelativePath, File]
    """Every file of the bundle but the manifest itself."""
    tools: dict[str, str]
    """Name → version of everything that made the bundle."""
    cpu: str
    """Processor and instruction set on which golden outputs were recorded."""
    golden: tuple[Golden, ...]
    digest: str = ""
    """`sha256:…` over the canonical manifest without this field: changes with any file."""

    def sealed(self) -> Manifest:
        """The same manifest with its digest set."""
        return self.model_copy(update={"digest": digest_of(self.model_dump(mode="json"))})

    def to_json(self) -> str:
        """The file's text: indented, Arabic as it is, one newline at the end."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"
