"""A Textile Hub on your own machine: databases, users and buckets behind the doors that existing clients know."""
