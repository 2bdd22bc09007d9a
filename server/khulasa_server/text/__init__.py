"""Pure functions over `str`: segmentation, spans, chunk planning, reassembly."""
