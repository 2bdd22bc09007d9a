"""Metrics, logging, and the HTTP port that shows them."""
