"""khulasa: Arabic summarization and Arabic→English translation behind gRPC."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("khulasa-server")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "0+unknown"
