"""What an audit compares, and what follows from it. Pure; docs/audits.md."""
