"""What keeps a report from being written."""

from __future__ import annotations


class ReportError(Exception):
    """One sentence that names the file, the line or the model at fault."""
