"""Admission, queues, batch formation, cost, cache and the arbiter of compute slots."""
