"""Owns the adapters of the ledger port."""
