"""The chat: its messages, what the gateway lets through, and the service behind it."""
