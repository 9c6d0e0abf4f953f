"""What a database over a thread means: collections, instances, queries and transactions."""
