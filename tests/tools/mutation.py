"""Changes the scheduler in thousands of small ways, and counts how many its tests notice.

Works on a copy in build/mutation, and goes on where it stopped: what is decided stays decided until
the function changes. A mutant that ran out of time is counted by
itself and never as noticed: a busy machine makes any test slow.

    python tests/tools/mutation.py --minutes 30 [FILE …]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
WORK: Final = ROOT / "build" / "mutation" / "work"
REACHED: Final = WORK / "mutants" / "mutmut-stats.json"
"""Which tests reach which function."""
RESULTS: Final = WORK / "results.jsonl"
"""Verdicts as they come."""
TRIES: Final = 3
LOG: Final = WORK.with_name("mutmut.log")
ROOM: Final = "src/khulasa_server/scheduling"
LEAST: Final = 0.85
"""Part of the mutants that tests must notice."""
SELECTION: Final = [
    "tests/unit/scheduling",
    # Many runs each: they find what nobody thought of, and take too long for thousands of mutants.
    "--ignore=tests/unit/scheduling/test_core_stateful.py",
    "--ignore=tests/unit/scheduling/test_retries.py",
    "--ignore=tests/unit/scheduling/test_simulation.py",
]
QUIET: Final = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0"]
CONFIG: Final = f"""
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["{ROOM}/*"]
also_copy = ["proto"]
track_dependencies = false
pytest_add_cli_args = {json.dumps(QUIET)}
pytest_add_cli_args_test_selection = {json.dumps(SELECTION)}
"""
SMALLEST: Final = "khulasa_server.scheduling.naming.*"
"""What mutmut itself decides while it makes all mutants and sees which tests reach them."""
NOTICED: Final = {1: "killed", 3: "killed", 0: "survived", None: "unchecked", 2: "unchecked"}
UNTESTED: Final = {5, 33}
TIMED_OUT: Final = {24, -24, 36, 152, 255}


def prepare() -> None:
    """Copy what is mutated and what tests it; decisions of earlier runs stay."""
    WORK.mkdir(parents=True, exist_ok=True)
    changed = mirror(ROOT / "server" / "khulasa_server", WORK / "src" / "khulasa_server")
    if mirror(ROOT / "tests" / "unit", WORK / "tests" / "unit") or changed:
        # mutmut would ask new tests only, and know of none that reach a new function.
        REACHED.unlink(missing_ok=True)
    mirror(ROOT / "proto", WORK / "proto")
    shutil.copyfile(ROOT / "tests" / "conftest.py", WORK / "tests" / "conftest.py")
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    (WORK / "pyproject.toml").write_text(settings + CONFIG, "utf-8")


def mirror(source: Path, target: Path) -> bool:
    """Make `target` equal to `source`, and tell whether it was not.

    Only what differs gets a new time, which mutmut reads.
    """
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    wanted = {path for path in wanted if "__pycache__" not in path.parts}
    there = {path.relative_to(target) for path in target.rglob("*") if path.is_file()}
    changed = bool(there - wanted)
    for path in there - wanted:
        (target / path).unlink()
    for path in wanted:
        content = (source / path).read_bytes()
        if path not in there or (target / path).read_bytes() != content:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content)
            changed = True
    return changed


def modules() -> list[str]:
    """Files of the room, by name without ending."""
    return sorted(path.stem for path in (WORK / ROOM).glob("*.py") if path.stem != "__init__")


def generate(seconds: float) -> None:
    """Make all mutants, and find out which tests reach which function."""
    tool = str(Path(sys.executable).with_name("mutmut"))
    environment = {**os.environ, "PYTHONPATH": "proto"}
    command = [tool, "run", "--max-children", "1", SMALLEST]
    # It fails if a test does, as some do where the machine stands still; its own are run elsewhere.
    if not any(_run(command, WORK, environment, seconds) == 0 for _ in range(TRIES)):
        if not REACHED.is_file():
            raise SystemExit(f"mutants could not be made: see {LOG}")
        sys.stdout.write(f"going on without what mutmut ended with: see {LOG}\n")


def decide(mutants: dict[str, list[str]], minutes: float) -> None:
    """Decide mutants, given the tests that reach each, until time is over."""
    RESULTS.unlink(missing_ok=True)
    plan = WORK / "plan.json"
    plan.write_text(
        json.dumps({"mutants": mutants, "minutes": minutes, "results": str(RESULTS)}), "utf-8"
    )
    paths = (WORK / "mutants" / "src", WORK / "mutants" / "proto", Path(__file__).parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "KHULASA_MUTANTS": str(plan),
    }
    command = [sys.executable, "-m", "pytest", "-s", "-p", "warm", *QUIET, *SELECTION]
    try:
        # The plugin looks at the clock between two mutants; this is for one that never ends.
        if _run(command, WORK / "mutants", environment, 60 * minutes + 600):
            raise SystemExit(f"the tests could not be run: see {LOG}")
    finally:
        keep()


def _run(command: list[str], where: Path, environment: dict[str, str], seconds: float) -> int:
    """Run a command with its output in the log, killed when time is over; returns its status."""
    with LOG.open("a", encoding="utf-8") as log:
        running = subprocess.Popen(
            command,
            cwd=where,
            env={**environment, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            with suppress(subprocess.TimeoutExpired):
                running.wait(seconds)
        finally:
            # Also when this process is told to end.
            running.kill()
            running.wait()
    return running.returncode


def undecided(files: list[str], *, again: bool) -> dict[str, list[str]]:
    """Tests by mutant: of those not decided yet, and of all in some files, or all not noticed."""
    reached = json.loads(REACHED.read_text("utf-8"))
    tests = reached["tests_by_mangled_function_name"]
    return {
        mutant: tests.get(mutant.rpartition("__mutmut_")[0], [])
        for module in modules()
        for mutant, code in _codes(module).items()
        if code is None or module in files or (again and _verdict(code) != "killed")
    }


def keep() -> None:
    """Put verdicts where mutmut keeps its own."""
    if not RESULTS.is_file():
        return
    lines = [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]
    verdict = {line["mutant"]: line["code"] for line in lines}
    for module in modules():
        meta = _meta(module)
        if meta.is_file():
            content = json.loads(meta.read_text("utf-8"))
            codes = content["exit_code_by_key"]
            codes.update((name, verdict[name]) for name in codes.keys() & verdict.keys())
            meta.write_text(json.dumps(content, indent=4), "utf-8")


def _meta(module: str) -> Path:
    return WORK / "mutants" / ROOM / f"{module}.py.meta"


def _codes(module: str) -> dict[str, int | None]:
    """Exit codes of the mutants of a file by name; None: not decided."""
    meta = _meta(module)
    if not meta.is_file():
        return {}
    codes: dict[str, int | None] = json.loads(meta.read_text("utf-8"))["exit_code_by_key"]
    return codes


def verdicts(module: str) -> Counter[str]:
    """Mutants of a file by what became of them."""
    return Counter(map(_verdict, _codes(module).values()))


def _verdict(code: int | None) -> str:
    if code in UNTESTED:
        return "untested"
    if code in TIMED_OUT:
        return "timeout"
    return NOTICED.get(code, "crashed")


def report(names: list[str]) -> float:
    """Print what was found; returns the part of the decided mutants that was noticed."""
    columns = ("killed", "survived", "timeout", "untested", "crashed", "unchecked")
    line = "{:<14}" + "{:>10}" * len(columns) + "{:>8}"
    sys.stdout.write(line.format("file", *columns, "ratio") + "\n")
    total: Counter[str] = Counter()
    for name in names:
        found = verdicts(name)
        total += found
        if found:
            figures = [*(found[each] for each in columns), f"{noticed(found):.1%}"]
            sys.stdout.write(line.format(name, *figures) + "\n")
    figures = [*(total[each] for each in columns), f"{noticed(total):.1%}"]
    sys.stdout.write(line.format("all", *figures) + "\n")
    decided = total.total() - total["unchecked"]
    low, high = interval(total["killed"], decided)
    sys.stdout.write(
        f"{total['killed']} of {decided} decided mutants were killed; those that ran out of time "
        f"count as not killed. Of all {total.total()}: {low:.1%} to {high:.1%} (95 %)\n"
    )
    return noticed(total)


def interval(part: int, whole: int, spread: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share, for a sample drawn at random."""
    if not whole:
        return 0.0, 1.0
    share, square = part / whole, spread**2 / whole
    middle = (share + square / 2) / (1 + square)
    width = spread * math.sqrt(share * (1 - share) / whole + square / (4 * whole)) / (1 + square)
    return middle - width, middle + width


def noticed(found: Counter[str]) -> float:
    """Killed ones of those that were decided; 0 of none."""
    return found["killed"] / max(1, found.total() - found["unchecked"])


def main() -> int:
    """Mutate for as long as allowed; 1: tests notice too little."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="decide these anew, such as admission")
    parser.add_argument("--minutes", type=float, default=60.0, help="most that this may take")
    parser.add_argument("--again", action="store_true", help="decide anew what was not killed")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("mutation was ended"))
    keep()
    prepare()
    began = time.monotonic()
    generate(60 * arguments.minutes)
    left = arguments.minutes - (time.monotonic() - began) / 60
    decide(undecided(arguments.files, again=arguments.again), left)
    return 0 if report(modules()) >= LEAST else 1


if __name__ == "__main__":
    raise SystemExit(main())
