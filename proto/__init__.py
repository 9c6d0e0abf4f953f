"""Messages of the public services: .proto files in our own words, and the Python that `make proto` makes of them."""
