"""From a checkpoint in Hugging Face layout to a bundle; nothing here is needed to serve."""
