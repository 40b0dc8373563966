"""Owns the ways to tell people. Never decides who is told."""
