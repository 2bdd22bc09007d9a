"""The bundles that come with the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from khulasa_server.bundles import canary, store
from khulasa_server.bundles.manifest import Task
from khulasa_server.engines.proving import GREEDY

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.ctranslate2 import CTranslate2Engine

LARGEST = 15 * 1024 * 1024
INSTRUCTION_SETS = ("GENERIC", "AVX", "AVX2", "AVX512")

CHECK = """
import sys
from khulasa_server.bundles import canary, store
from khulasa_server.engines.ctranslate2 import CTranslate2Engine
from khulasa_server.engines.proving import GREEDY
for bundle in store.embedded():
    engine = CTranslate2Engine(bundle.path, bundle.manifest, workers=1, threads=1)
    report = canary.check(engine, bundle.manifest, GREEDY)
    print(bundle.manifest.name, report.largest_shift, report.mean_shift, report.texts_equal)
    sys.exit("; ".join(report.differences)) if not report.passed else None
"""


@pytest.fixture(params=store.embedded_names())
def embedded(request: pytest.FixtureRequest) -> Bundle:
    """Each embedded bundle in turn."""
    return store.open_bundle(request.param)


def test_there_is_one_for_each_task() -> None:
    """Without any download there is a summarizer and a translator."""
    assert {bundle.manifest.task for bundle in store.embedded()} == set(Task)


def test_they_are_small_and_say_what_they_are(embedded: Bundle) -> None:
    """Each is under 15 MiB, a demonstration, licensed, and says how the real one is built."""
    manifest = embedded.manifest
    assert sum(file.size for file in manifest.files.values()) < LARGEST
    assert manifest.demonstration
    assert manifest.production_build.startswith("khulasa-server models build ")
    assert manifest.source.license == "CC-BY-SA-4.0"
    assert {"README.md", "NOTICE"} <= set(manifest.files)


def test_they_have_golden_outputs_of_legal_size(embedded: Bundle) -> None:
    """At least eight golden inputs of at most 32 pieces, outputs of at most 16, none empty."""
    golden = embedded.manifest.golden
    assert len(golden) >= canary.GOLDEN_FEWEST
    assert all(0 < len(one.output_tokens) <= 16 for one in golden)
    assert all(len(one.input_tokens) <= 32 for one in golden)


def test_they_do_what_they_did_when_built(
    embedded: Bundle, engine_of: Callable[[Bundle], CTranslate2Engine]
) -> None:
    """On this processor, golden scores are within the tolerance."""
    report = canary.check(engine_of(embedded), embedded.manifest, GREEDY)
    assert report.differences == ()


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
def test_they_pass_with_the_kernels_of_every_processor(instruction_set: str) -> None:
    """Other kernels round int8 products differently: texts may change, scores hardly move."""
    flags = _processor_flags()
    needed = {"AVX": {"avx"}, "AVX2": {"avx2"}, "AVX512": {"avx512f"}}.get(instruction_set, set())
    if not needed <= flags:
        pytest.skip(f"this processor has no {instruction_set}")
    environment = {**os.environ, "CT2_FORCE_CPU_ISA": instruction_set, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(store.embedded_names())


def _processor_flags() -> set[str]:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
