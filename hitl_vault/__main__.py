"""Owns `python -m hitl_vault`. Never does more than `hitl` does."""

from hitl_vault.cli import main

if __name__ == "__main__":
    main()
