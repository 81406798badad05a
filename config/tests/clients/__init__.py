"""Clients that nobody here wrote, through gateways whose settings nobody changed (docs/development.md)."""
