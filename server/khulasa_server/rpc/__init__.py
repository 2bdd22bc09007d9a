"""gRPC: servicers, interceptors, and the table from exceptions to statuses."""
