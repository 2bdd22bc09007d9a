"""What an output is worth beside its reference: BLEU and chrF, or ROUGE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from khulasa_server.bundles.building.tools import require
from khulasa_server.bundles.manifest import Task
from khulasa_server.bundles.rouge import Rouge

if TYPE_CHECKING:
    from collections.abc import Sequence

Judge = Callable[[str, str], dict[str, float]]
"""From an output and its reference to scores of 0 to 100."""

_ROUGE = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Args:
        name: of the metric.
        value: of it.
        signature: how it was computed, so that others compute the same.
    """

    name: str
    value: float
    signature: str = ""


def judge(task: Task, language: str) -> Judge:
    """What scores one answer by itself.

    Args:
        task: what the model does.
        language: BCP-47 code of the references.

    Raises:
        ToolMissingError: a translation is to be scored, and sacrebleu is not installed.
    """
    if task is Task.SUMMARIZE:
        rouge = Rouge(language)
        return lambda output, reference: {
            _ROUGE[kind]: 100.0 * value for kind, value in rouge.score(output, reference).items()
        }
    metrics = _metrics(effective_order=True)
    return lambda output, reference: {
        name: metric.sentence_score(output, [reference]).score for name, metric in metrics.items()
    }


def figures(
    task: Task, outputs: Sequence[str], references: Sequence[str], language: str
) -> list[Figure]:
    """Scores of all outputs together, with their signatures.

    Args:
        task: what the model does.
        outputs: of it.
        references: one an output.
        language: BCP-47 code of the references.

    Raises:
        ToolMissingError: translations are to be scored, and sacrebleu is not installed.
    """
    if task is Task.SUMMARIZE:
        rouge = Rouge(language)
        means = rouge.mean(outputs, references)
        return [Figure(_ROUGE[kind], value, rouge.signature) for kind, value in means.items()]
    # Of a whole corpus, no n-gram order is without a match: the usual BLEU.
    return [
        Figure(
            name,
            metric.corpus_score(list(outputs), [list(references)]).score,
            str(metric.get_signature()),
        )
        for name, metric in _metrics(effective_order=False).items()
    ]


def _metrics(*, effective_order: bool) -> dict[str, Any]:
    sacrebleu = require("sacrebleu", extra="evaluate")
    return {"BLEU": sacrebleu.BLEU(effective_order=effective_order), "chrF": sacrebleu.CHRF()}
