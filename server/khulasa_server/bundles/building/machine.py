"""On what a bundle's golden outputs were recorded."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_MODEL = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
_KERNELS = re.compile(r"(?:Selected ISA|GEMM_S8 backend): (\w+)")
_PROBE = "import ctranslate2, sys; ctranslate2.Translator(sys.argv[1], intra_threads=1)"


def fingerprint(model: Path) -> str:
    """Processor, and the instruction set and int8 backend that CTranslate2 chooses on it.

    Args:
        model: directory of a converted model, which has to be loaded to find out.
    """
    return ", ".join([_processor(), *_kernels(model)])


def _processor() -> str:
    found = _MODEL.search(_CPUINFO.read_text("utf-8")) if _CPUINFO.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def _kernels(model: Path) -> list[str]:
    # CTranslate2 tells its choice in its log only, when the first model of a process is loaded.
    environment = {**os.environ, "CT2_VERBOSE": "1"}
    command = [sys.executable, "-c", _PROBE, str(model)]
    done = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
        command, env=environment, capture_output=True, text=True, check=False
    )
    return _KERNELS.findall(done.stderr)
