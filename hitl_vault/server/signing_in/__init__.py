"""Signing in to the inbox: by a token, a link or an identity provider; and out again."""
