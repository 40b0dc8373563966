"""Owns the adapters that read who may answer."""
