"""Accounts, API keys, who owns which thread, and who is calling: what a Hub is beside a threads daemon."""
