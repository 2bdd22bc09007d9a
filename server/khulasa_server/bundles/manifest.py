"""`manifest.json`: everything that is known about a bundle besides its weights."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT: Literal[1] = 1
MANIFEST_NAME = "manifest.json"


class Task(StrEnum):
    """What a model does with a text."""

    TRANSLATE = "translate"
    SUMMARIZE = "summarize"


class Architecture(StrEnum):
    """Families of checkpoints that can be built."""

    MARIAN = "marian"
    MT5 = "mt5"


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
    """Most tokens a caller may ask for."""


class Generation(_Part):
    """Default generation options, from the model's own generation config."""

    beam_size: int = Field(ge=1, le=16)
    max_output_tokens: int = Field(ge=1)
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = Field(default=0, ge=0)
    repetition_penalty: float = Field(default=1.0, gt=0)


class Tokenizer(_Part):
    """How text becomes pieces; files are relative to the bundle."""

    source: str
    """SentencePiece model of the input."""
    target: str
    """SentencePiece model of the output; the same file for mT5."""
    preprocessing: Literal["none", "collapse_whitespace"]
    """What the model card asks for before SentencePiece."""


class File(_Part):
    """One file of the bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    """Bytes."""


class Golden(_Part):
    """One input whose output was recorded when the bundle was built."""

    input: str
    input_tokens: tuple[str, ...]
    """Pieces with end of sequence; at most 32."""
    output: str
    output_tokens: tuple[str, ...]
    """Pieces without end of sequence; at most 16."""
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
    quantization: Literal["int8", "float32", "bfloat16"]
    parameters: int
    vocabulary_size: int
    limits: Limits
    generation: Generation
    tokenizer: Tokenizer
    files: dict[str, File]
    """Every file of the bundle but the manifest itself."""
    tools: dict[str, str]
    """Name → version of everything that made the bundle."""
    cpu: str
    """Processor and instruction set on which golden outputs were recorded."""
    golden: tuple[Golden, ...]
    digest: str = ""
    """`sha256:…` over the canonical manifest without this field: changes with any file."""
