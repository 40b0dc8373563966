"""Other ways to ask, decide, claim and finish durably; each file is one, with the same four steps."""
