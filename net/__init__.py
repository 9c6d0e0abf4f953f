"""Threads: IDs, keys, tokens, records and logs, and how peers exchange them."""
