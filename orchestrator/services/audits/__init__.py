"""Audits: what is due, what should be, what was found, and what is done about it. docs/audits.md."""
