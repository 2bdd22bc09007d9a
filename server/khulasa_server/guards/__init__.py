"""Checks of an output against its source: pure functions from (source, output) to findings."""
