"""The desk over HTTP: an API for agents and reviewers, and an inbox for people. Extra `server`."""
