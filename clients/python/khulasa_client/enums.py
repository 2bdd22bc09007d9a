"""Names that values and requests are made of; their meaning is in khulasa/v1/*.proto."""

from __future__ import annotations

from enum import StrEnum


class FindingKind(StrEnum):
    """Kinds of findings; their meaning is in khulasa/v1/common.proto."""

    REPETITION = "REPETITION"
    LENGTH_RATIO = "LENGTH_RATIO"
    UNTRANSLATED = "UNTRANSLATED"
    WRONG_SCRIPT = "WRONG_SCRIPT"
    SENTINEL = "SENTINEL"
    NUMBER_MISSING = "NUMBER_MISSING"
    NUMBER_UNSUPPORTED = "NUMBER_UNSUPPORTED"
    NAME_UNSUPPORTED = "NAME_UNSUPPORTED"
    TRUNCATED = "TRUNCATED"
    PARTIAL_COVERAGE = "PARTIAL_COVERAGE"
    LANGUAGE_DOUBTFUL = "LANGUAGE_DOUBTFUL"
    EMPTY_OUTPUT = "EMPTY_OUTPUT"
    ALREADY_SHORT = "ALREADY_SHORT"
    SUMMARY_UNSUPPORTED = "SUMMARY_UNSUPPORTED"
    ENTITY_MISSING = "ENTITY_MISSING"


class SegmentOutcome(StrEnum):
    """What was done with a segment."""

    TRANSLATED = "TRANSLATED"
    COPIED = "COPIED"
    TRUNCATED = "TRUNCATED"


class LongDocumentStrategy(StrEnum):
    """What is done with a text that is longer than the model's window."""

    LEAD = "LEAD"
    HIERARCHICAL = "HIERARCHICAL"


class Priority(StrEnum):
    """How urgent work is."""

    INTERACTIVE = "INTERACTIVE"
    BULK = "BULK"


class CacheMode(StrEnum):
    """Whether the server's cache takes part in an answer."""

    USE = "USE"
    BYPASS = "BYPASS"


class Task(StrEnum):
    """What a model does with a text."""

    TRANSLATE = "TRANSLATE"
    SUMMARIZE = "SUMMARIZE"


class ModelState(StrEnum):
    """Whether a model can answer."""

    LOADING = "LOADING"
    SERVING = "SERVING"
    FAILED = "FAILED"
    DRAINING = "DRAINING"


class HealthStatus(StrEnum):
    """What the health service says of a service."""

    UNKNOWN = "UNKNOWN"
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    SERVICE_UNKNOWN = "SERVICE_UNKNOWN"
