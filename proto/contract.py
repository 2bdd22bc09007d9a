"""What is done with the contract: generate its code, check it, lint it, compare it, release it.

Run it with the Python of an environment that holds the development tools (`buf` and the
mypy-protobuf plugins are taken from beside it):

    python proto/contract.py generate    write the generated code beside the .proto files
    python proto/contract.py check       fail where the generated code is not what generate writes
    python proto/contract.py lint        run the linter and the formatter's check
    python proto/contract.py breaking    fail on changes that break users of released.binpb
    python proto/contract.py release     make the contract as it is the one that is released
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from environments import BUILD, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
GENERATOR_PYTHON = "3.11"
"""The last Python that the generator has wheels for."""
PACKAGE = Path("khulasa/v1")
PLUGINS = ("mypy", "mypy_grpc")


class ContractError(Exception):
    """A sentence for the person who runs this."""


def generate(source: Path, destination: Path) -> None:
    """Write the code of every .proto file of `source` below `destination`."""
    protos = sorted(
        path.relative_to(source).as_posix() for path in source.glob(f"{PACKAGE}/*.proto")
    )
    services = [name for name in protos if "\nservice " in (source / name).read_text("utf-8")]
    _protoc(source, protos, {"python": destination, "mypy": destination})
    _protoc(source, services, {"grpc_python": destination, "mypy_grpc": destination})


def stale(source: Path) -> list[str]:
    """Generated files of `source` that are missing, superfluous, or not what generate writes."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(source, Path(scratch))
        fresh, committed = _generated(Path(scratch)), _generated(source)
    return sorted(
        name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name)
    )


def check(source: Path) -> None:
    """Fail where the generated code is stale.

    The generator has no wheels for every Python that the contract serves. Where it cannot run, the
    committed code is compared with the .proto files by what it describes instead of by its bytes.
    """
    if generator_python() is None:
        sys.stdout.write(
            f"contract: no python{GENERATOR_PYTHON}: descriptors are compared, not bytes\n"
        )
        names = different(source)
    else:
        names = stale(source)
    if names:
        raise ContractError(f"stale, run `make proto`: {', '.join(names)}")


def different(source: Path) -> list[str]:
    """Modules of `source` that describe something else than their .proto files do."""
    with _workspace(source) as workspace:
        _buf(
            workspace, "build", "--path", "khulasa", "--exclude-imports", "--output", "image.binpb"
        )
        script = [sys.executable, str(HERE / "descriptors.py"), "image.binpb", str(source)]
        return _run(script, workspace).split()


def lint(source: Path) -> None:
    """Fail on anything the linter or the formatter would have otherwise."""
    with _workspace(source) as workspace:
        _buf(workspace, "lint", "--path", "khulasa")
        _buf(workspace, "format", "--diff", "--exit-code", "--path", "khulasa")


def breaking(source: Path) -> None:
    """Fail on a change that breaks users of the released contract."""
    with _workspace(source) as workspace:
        _buf(workspace, "breaking", "--path", "khulasa", "--against", str(_image(source)))


def release(source: Path) -> None:
    """Make the contract as it is the released one."""
    with _workspace(source) as workspace:
        options = ("--exclude-source-info", "--output", str(_image(source)))
        _buf(workspace, "build", "--path", "khulasa", *options)


def _image(source: Path) -> Path:
    return source / "released.binpb"


def _generated(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.glob(f"{PACKAGE}/*") if "_pb2" in path.name)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def _protoc(source: Path, protos: list[str], outputs: dict[str, Path]) -> None:
    python = environment("generator", HERE / "generator.txt", python=_required_generator_python())
    includes = [f"--proto_path={source}", f"--proto_path={_googleapis()}"]
    plugins = [f"--plugin=protoc-gen-{name}={_tool(f'protoc-gen-{name}')}" for name in PLUGINS]
    targets = [
        f"--{name}_out={'quiet:' if name in PLUGINS else ''}{out}" for name, out in outputs.items()
    ]
    _run(
        [
            str(python),
            "-W",
            "ignore::DeprecationWarning",
            "-m",
            "grpc_tools.protoc",
            *includes,
            *plugins,
            *targets,
            *protos,
        ],
        HERE,
    )


def generator_python() -> str | None:
    """A Python that the generator runs on: this one, or one of the right version beside it."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == GENERATOR_PYTHON:
        return sys.executable
    return shutil.which(f"python{GENERATOR_PYTHON}")


def _required_generator_python() -> str:
    if (python := generator_python()) is None:
        raise ContractError(f"generating needs python{GENERATOR_PYTHON} on the PATH")
    return python


def _googleapis() -> Path:
    """The directory that holds google/rpc/*.proto, from the googleapis-common-protos wheel."""
    spec = importlib.util.find_spec("google.rpc")
    if spec is None or not spec.submodule_search_locations:
        raise ContractError("googleapis-common-protos is not installed")
    return Path(next(iter(spec.submodule_search_locations))).parent.parent


@contextmanager
def _workspace(source: Path) -> Iterator[Path]:
    """A directory for buf that also holds what the contract imports.

    buf reads imports from its registry or from the same directory tree, and a clone has neither.
    """
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch)
        shutil.copy(source / "buf.yaml", workspace)
        for path in source.glob(f"{PACKAGE}/*.proto"):
            _copy(path, workspace / path.relative_to(source))
        _copy(_googleapis() / "google/rpc/status.proto", workspace / "google/rpc/status.proto")
        yield workspace


def _copy(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, destination)


def _buf(workspace: Path, *arguments: str) -> None:
    _run([str(_tool("buf")), *arguments], workspace)


def _tool(name: str) -> Path:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise ContractError(f"{path} is not installed")
    return path


def _run(command: list[str], directory: Path) -> str:
    variables = os.environ | {"BUF_CACHE_DIR": str(BUILD / "buf-cache")}
    done = subprocess.run(  # noqa: S603 - pinned tools with our own arguments
        command, cwd=directory, env=variables, check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise ContractError(f"{Path(command[0]).name} {command[1]} failed\n{done.stdout}".rstrip())
    return done.stdout


def _generate_in_place(source: Path) -> None:
    for name in _generated(source):
        (source / name).unlink()
    generate(source, source)


COMMANDS = {
    "generate": _generate_in_place,
    "check": check,
    "lint": lint,
    "breaking": breaking,
    "release": release,
}


def main() -> int:
    """Run the commands that are named, and say in one sentence what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("commands", nargs="+", choices=COMMANDS)
    parser.add_argument("--source", type=Path, default=HERE, help="directory of the contract")
    arguments = parser.parse_args()
    try:
        for command in arguments.commands:
            COMMANDS[command](arguments.source.resolve())
    except (ContractError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"contract: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
