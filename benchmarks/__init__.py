"""Benchmarks of hitl_vault: one file a figure, `python -m benchmarks` runs them. Never asserts."""
