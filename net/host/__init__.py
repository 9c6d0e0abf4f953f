"""The libp2p host. No module outside of this package knows py-libp2p or trio (design.md, "Time, threads, loops")."""
