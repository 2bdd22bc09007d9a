"""khulasa: Arabic summarization and Arabic→English translation behind gRPC."""
