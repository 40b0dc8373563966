"""Owns what tests of programs that use hitl_vault need. Never imported by the package itself."""
