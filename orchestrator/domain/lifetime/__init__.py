"""LifeTime's Deployment API, version 2, without any I/O: keys, plans, statuses, documents. docs/lifetime.md."""
