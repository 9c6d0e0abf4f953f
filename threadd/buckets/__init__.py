"""Buckets: folders of files, as UnixFS trees over blocks, whose roots and rules are instances in threads."""
