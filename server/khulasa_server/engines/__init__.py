"""Engines turn batches of token sequences into generations; they know no requests."""
