"""The use cases of LifeTime's Deployment API: what there is, and deployment plans. docs/lifetime.md is the manual."""
