"""Where heads of the chain are noted, outside of the vault."""
