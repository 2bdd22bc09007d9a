"""What the commands print of bundles."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.engines.base import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from khulasa_server.bundles.canary import CanaryReport
    from khulasa_server.bundles.scoring import Figure
    from khulasa_server.bundles.store import Bundle

# A process of its own, since the peak of this one says nothing about the model.
_PROBE = """
import sys
from pathlib import Path
from khulasa_server.bundles import canary, store
from khulasa_server.engines.loading import load
from khulasa_server.engines.proving import GREEDY
bundle = store.load(Path(sys.argv[1]))
engine = load("ctranslate2", bundle.path, bundle.manifest, workers=1, threads=1)
canary.check(engine, bundle.manifest, GREEDY)
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024)
"""


def resident_bytes(bundle: Bundle) -> int:
    """Most memory that a process with this model alone has resident (VmHWM, Linux).

    Raises:
        EngineError: the model cannot be loaded.
    """
    done = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
        [sys.executable, "-c", _PROBE, str(bundle.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EngineError(done.stderr.strip().rpartition("\n")[2])
    return int(done.stdout)


@dataclass(frozen=True, slots=True)
class Weight:
    """What a model takes.

    Args:
        parameters: numbers in its weights.
        disk: bytes of the bundle.
        resident: most bytes that a process with this model alone has resident.
    """

    parameters: int
    disk: int
    resident: int


def weigh(bundle: Bundle) -> Weight:
    """Weigh a bundle; it is loaded once.

    Raises:
        EngineError: the model cannot be loaded.
    """
    return Weight(bundle.manifest.parameters, _bytes_on_disk(bundle), resident_bytes(bundle))


def built(bundle: Bundle, before: Weight | None = None) -> str:
    """What was made, and what trimming saved.

    Args:
        bundle: the new one.
        before: of the same model with every piece; None: not known, or nothing was left out.
    """
    manifest, trimming = bundle.manifest, bundle.manifest.trimming
    before_pieces = trimming.pieces_before if trimming else manifest.vocabulary_size
    return _rows(
        [
            ("bundle", str(bundle.path)),
            ("digest", manifest.digest),
            ("output pieces", f"{manifest.vocabulary_size:,} of {before_pieces:,}"),
            *_weights(weigh(bundle), before),
            ("licence", _terms(bundle)),
        ]
    )


def _weights(now: Weight, before: Weight | None) -> list[tuple[str, str]]:
    rows = []
    for name, unit in (("parameters", ""), ("disk", " bytes"), ("resident", " bytes")):
        told = f"{getattr(now, name):,}{unit}"
        if name == "resident":
            told += " with this model alone"
        if before is not None:
            told += f"; {getattr(before, name):,}{unit} with every piece"
        rows.append((name, told))
    return rows


def listed(bundles: Iterable[Bundle]) -> str:
    """One line a bundle."""
    lines = []
    for bundle in bundles:
        manifest = bundle.manifest
        languages = "+".join(manifest.source_language_codes)
        if manifest.target_language_codes != manifest.source_language_codes:
            languages += "→" + "+".join(manifest.target_language_codes)
        kind = " demonstration" if manifest.demonstration else ""
        lines.append(
            f"{manifest.name}  {manifest.task} {languages}  {manifest.quantization}  "
            f"{manifest.source.license}{kind}  {bundle.path}"
        )
    return "\n".join(lines)


def inspected(bundle: Bundle, resident: int | None) -> str:
    """Everything a user asks about a bundle first."""
    manifest = bundle.manifest
    limits, generation = manifest.limits, manifest.generation
    rows = [
        ("name", manifest.name),
        ("task", f"{manifest.task}, {manifest.architecture}"),
        ("source", f"{manifest.source.repository} {manifest.source.revision}"),
        ("licence", _terms(bundle)),
        ("languages", " ".join(manifest.source_language_codes)),
        ("target languages", " ".join(manifest.target_language_codes)),
        ("quantization", manifest.quantization),
        ("parameters", f"{manifest.parameters:,}"),
        (
            "pieces",
            f"{manifest.source_vocabulary_size:,} read, {manifest.vocabulary_size:,} written",
        ),
        ("window", f"{limits.max_input_tokens} pieces, segments of {limits.segment_tokens}"),
        ("beams", str(generation.beam_size)),
        ("output", f"{generation.max_output_tokens} pieces, at most {limits.max_output_tokens}"),
        ("on disk", f"{_bytes_on_disk(bundle):,} bytes"),
        ("golden outputs", f"{len(manifest.golden)}, recorded on {manifest.cpu}"),
        ("tools", ", ".join(f"{name} {version}" for name, version in manifest.tools.items())),
        ("digest", manifest.digest),
    ]
    if manifest.demonstration:
        rows.append(("demonstration", f"for the real model: {manifest.production_build}"))
    if resident is not None:
        rows.append(("resident", f"{resident:,} bytes with this model alone"))
    return _rows(rows)


def verified(report: CanaryReport) -> str:
    """The verdict, with its figures."""
    verdict = "; ".join(report.differences) or "as it was built"
    return (
        f"{verdict} (scores moved by {report.largest_shift:.5f} a token at most, "
        f"{report.mean_shift:+.5f} in the mean; {report.texts_equal} of {report.texts} "
        "golden texts equal)"
    )


def figures(values: Sequence[Figure]) -> str:
    """One line a figure, its signature last."""
    return _rows([(one.name, f"{one.value:.2f}  {one.signature}".rstrip()) for one in values])


def _terms(bundle: Bundle) -> str:
    source = bundle.manifest.source
    return f"{source.license} {source.license_notice}".strip()


def _bytes_on_disk(bundle: Bundle) -> int:
    return sum(file.size for file in bundle.manifest.files.values())


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
