"""Changes the scheduler in thousands of small ways, and counts how many its tests notice.

Works on a copy in build/mutation, and goes on where it stopped: what is decided stays decided until
the function changes. A mutant that ran out of time is counted by
itself and never as noticed: a busy machine makes any test slow.

    python tests/tools/mutation.py --minutes 30 [FILE …]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
WORK: Final = ROOT / "build" / "mutation" / "work"
LOG: Final = WORK.with_name("mutmut.log")
ROOM: Final = "src/khulasa_server/scheduling"
LEAST: Final = 0.85
"""Part of the mutants that tests must notice."""
CONFIG: Final = f"""
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["{ROOM}/*"]
also_copy = ["proto"]
pytest_add_cli_args = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
pytest_add_cli_args_test_selection = [
  "tests/unit/scheduling",
  # Many runs each: they find what nobody thought of, and take too long for thousands of mutants.
  "--ignore=tests/unit/scheduling/test_core_stateful.py",
  "--ignore=tests/unit/scheduling/test_simulation.py",
]
# Seconds: (those of the tests + 2) x 10; endless loops exceed it, a slow machine hardly does.
timeout_constant = 2.0
timeout_multiplier = 10.0
"""
NOTICED: Final = {1: "killed", 3: "killed", 0: "survived", None: "unchecked", 2: "unchecked"}
UNTESTED: Final = {5, 33}
TIMED_OUT: Final = {24, -24, 36, 152, 255}


def prepare() -> None:
    """Copy what is mutated and what tests it; decisions of earlier runs stay."""
    WORK.mkdir(parents=True, exist_ok=True)
    mirror(ROOT / "server" / "khulasa_server", WORK / "src" / "khulasa_server")
    mirror(ROOT / "tests" / "unit", WORK / "tests" / "unit")
    mirror(ROOT / "proto", WORK / "proto")
    shutil.copyfile(ROOT / "tests" / "conftest.py", WORK / "tests" / "conftest.py")
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    (WORK / "pyproject.toml").write_text(settings + CONFIG, "utf-8")


def mirror(source: Path, target: Path) -> None:
    """Make `target` equal to `source`; only what differs gets a new time, which mutmut reads."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    wanted = {path for path in wanted if "__pycache__" not in path.parts}
    there = {path.relative_to(target) for path in target.rglob("*") if path.is_file()}
    for path in there - wanted:
        (target / path).unlink()
    for path in wanted:
        content = (source / path).read_bytes()
        if path not in there or (target / path).read_bytes() != content:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content)


def modules() -> list[str]:
    """Files of the room, by name without ending."""
    return sorted(path.stem for path in (WORK / ROOM).glob("*.py") if path.stem != "__init__")


def mutate(files: list[str], seconds: float) -> bool:
    """Decide the mutants that are not decided yet, or all of some files; False: time ran out."""
    tool = str(Path(sys.executable).with_name("mutmut"))
    patterns = [f"khulasa_server.scheduling.{name}.*" for name in files]
    environment = {**os.environ, "PYTHONPATH": "proto", "OMP_NUM_THREADS": "1"}
    with LOG.open("w", encoding="utf-8") as log:
        running = subprocess.Popen(
            [tool, "run", "--max-children", "2", *patterns],
            cwd=WORK,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = running.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            # Its workers too, and also when this process is told to end.
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
    if status:
        raise SystemExit(f"mutmut failed: see {LOG}")
    return True


def verdicts(module: str) -> Counter[str]:
    """Mutants of a file by what became of them."""
    meta = WORK / "mutants" / ROOM / f"{module}.py.meta"
    if not meta.is_file():
        return Counter()
    codes = json.loads(meta.read_text("utf-8"))["exit_code_by_key"].values()
    return Counter(_verdict(code) for code in codes)


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
    sys.stdout.write(
        f"{total['killed']} of {total.total() - total['unchecked']} decided mutants were killed; "
        "those that ran out of time count as not killed\n"
    )
    return noticed(total)


def noticed(found: Counter[str]) -> float:
    """Killed ones of those that were decided; 0 of none."""
    return found["killed"] / max(1, found.total() - found["unchecked"])


def main() -> int:
    """Mutate for as long as allowed; 1: tests notice too little."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="decide these anew, such as admission")
    parser.add_argument("--minutes", type=float, default=60.0, help="most that this may take")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("mutation was ended"))
    prepare()
    if not mutate(arguments.files, 60 * arguments.minutes):
        sys.stdout.write("time is over; run again to go on\n")
    return 0 if report(modules()) >= LEAST else 1


if __name__ == "__main__":
    raise SystemExit(main())
