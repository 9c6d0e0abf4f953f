"""What keeps a repository safe: it is checked, repaired, and its databases are taken out and in."""
