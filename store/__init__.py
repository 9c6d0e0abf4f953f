"""What is kept: one ordered key-value engine and, on it, one module for each kind of thing."""
