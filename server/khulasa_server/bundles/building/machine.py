"""On what a bundle's golden outputs were recorded."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# CTranslate2's names, best first, each with the processor flags it needs.
_SETS = (("AVX512", {"avx512f", "avx512bw", "avx512vl"}), ("AVX2", {"avx2", "fma"}))


def fingerprint() -> str:
    """Processor and the instruction set CTranslate2 chooses on it, or was told to use."""
    fields = _cpu_fields()
    model = fields.get("model name", platform.processor() or platform.machine())
    flags = set(fields.get("flags", "").split())
    best = next((name for name, needed in _SETS if needed <= flags), "GENERIC")
    return f"{model}, {os.environ.get('CT2_FORCE_CPU_ISA', best)}"


def _cpu_fields() -> dict[str, str]:
    if not _CPUINFO.is_file():
        return {}
    first = _CPUINFO.read_text("utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
