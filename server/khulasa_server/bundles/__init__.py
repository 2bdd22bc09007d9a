"""What a model is on disk: manifest, digests, store, build, canary, evaluation."""
