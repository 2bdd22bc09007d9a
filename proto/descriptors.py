"""Compare generated modules with an image of their .proto files, by descriptor.

    python proto/descriptors.py IMAGE DIRECTORY    prints the .proto files that differ

A process of its own, because it loads the modules below DIRECTORY.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

if TYPE_CHECKING:
    from google.protobuf.message import Message


def comparable(description: FileDescriptorProto) -> bytes:
    """What the two compilers agree on: neither comments, JSON names nor private extensions."""
    description.DiscardUnknownFields()
    description.ClearField("source_code_info")
    _clear_json_names(description)
    return description.SerializeToString(deterministic=True)


def _clear_json_names(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name == "json_name":
            message.ClearField("json_name")
        elif field.message_type is not None:
            for child in value if field.is_repeated else [value]:
                _clear_json_names(child)


def described(name: str) -> FileDescriptorProto:
    """What the module generated from `name` describes."""
    module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    description = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(description)
    return description


def main(image: Path, directory: Path) -> None:
    """Print the names of the .proto files whose modules differ."""
    sys.path.insert(0, str(directory))
    for file in FileDescriptorSet.FromString(image.read_bytes()).file:
        if comparable(file) != comparable(described(file.name)):
            sys.stdout.write(f"{file.name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
