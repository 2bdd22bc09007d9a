"""The command line: `khulasa`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command; needs the extra `cli`."""
    try:
        from khulasa_client.cli.commands import khulasa  # noqa: PLC0415 - may be missing
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write(
            "khulasa: the command needs its extra: pip install 'khulasa-client[cli]'\n"
        )
        return 1
    khulasa(prog_name="khulasa")
    return 0
