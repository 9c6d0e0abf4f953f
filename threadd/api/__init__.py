"""The doors: thin servicers, authentication, the dispatcher, and gRPC as its first transport."""
