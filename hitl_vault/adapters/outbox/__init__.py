"""Owns the outboxes. Never decides who is told."""
