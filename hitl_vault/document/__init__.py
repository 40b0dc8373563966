"""Owns the Markdown face of a request: view and ballot. Never reads a file, clock or setting."""
