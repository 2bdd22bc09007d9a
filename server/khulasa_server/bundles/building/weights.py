"""Tensors of a checkpoint, read one at a time as float32."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from khulasa_server.bundles.building.tools import require
from khulasa_server.bundles.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Tensor = npt.NDArray[np.float32]

_SAFETENSORS = "model.safetensors"
_BIN = "pytorch_model.bin"


class _File(Protocol):
    """One file with tensors."""

    def names(self) -> Sequence[str]: ...

    def size(self, name: str) -> tuple[int, ...]: ...

    def read(self, name: str) -> Tensor: ...


class Weights:
    """Every tensor of a checkpoint by its name; a copy of its own each time one is read.

    Args:
        files: the weight files, in the order they were found.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        opened = [_open(path) for path in files]
        self._places = {name: file for file in opened for name in file.names()}

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._places:
            listed = ", ".join(path.name for path in self.files)
            raise CheckpointError(f"tensor {name} is missing from {listed}")
        return self._places[name].read(name)

    def size(self, name: str) -> tuple[int, ...]:
        """Size of a tensor that is there, without reading it."""
        return self._places[name].size(name)

    def first(self, *names: str) -> Tensor:
        """The tensor of the first of these names that is there.

        Raises:
            CheckpointError: none is.
        """
        return self[next((name for name in names if name in self), names[0])]


def weight_files(directory: Path) -> list[Path]:
    """The files that hold a checkpoint's weights: safetensors before `.bin`, shards in order.

    Raises:
        CheckpointError: there are none, or a shard is missing.
    """
    for name in (_SAFETENSORS, _BIN):
        if (directory / name).is_file():
            return [directory / name]
        index = directory / f"{name}.index.json"
        if index.is_file():
            return _shards(index)
    raise CheckpointError(f"{directory} has no weights: neither {_SAFETENSORS} nor {_BIN}")


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not an index of weight files") from error
    files = [index.parent / Path(str(name)).name for name in names]
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"{index.parent} lacks {file.name}, which {index.name} lists")
    return files


def _open(path: Path) -> _File:
    return _Safetensors(path) if path.suffix == ".safetensors" else _Pickle(path)


class _Safetensors:
    def __init__(self, path: Path) -> None:
        safetensors = require("safetensors")
        self._path = path
        try:
            self._handle: Any = safetensors.safe_open(path, framework="np")
        except safetensors.SafetensorError as error:
            raise CheckpointError(f"{path} is damaged or incomplete: {error}") from error

    def names(self) -> Sequence[str]:
        return list(self._handle.keys())

    def size(self, name: str) -> tuple[int, ...]:
        return tuple(self._handle.get_slice(name).get_shape())

    def read(self, name: str) -> Tensor:
        if self._handle.get_slice(name).get_dtype() == "BF16":
            # numpy has no bfloat16.
            torch_handle = require("safetensors").safe_open(self._path, framework="pt")
            require("torch")
            return np.array(torch_handle.get_tensor(name).float().numpy())
        return np.array(self._handle.get_tensor(name), dtype=np.float32)


class _Pickle:
    def __init__(self, path: Path) -> None:
        torch = require("torch")
        # Files written before 2020 are no archives, and cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:
            raise CheckpointError(f"{path} is damaged or incomplete: {error}") from error
        self._tensors: dict[str, Any] = loaded

    def names(self) -> Sequence[str]:
        return [name for name, value in self._tensors.items() if hasattr(value, "float")]

    def size(self, name: str) -> tuple[int, ...]:
        return tuple(self._tensors[name].shape)

    def read(self, name: str) -> Tensor:
        return np.array(self._tensors[name].detach().float().numpy())
