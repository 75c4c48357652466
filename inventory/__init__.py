"""Environments, fleets, frontends and apps: what exists. Imports nothing else of Lockstep."""
