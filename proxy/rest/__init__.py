"""The HTTP API for programs: publish events, kick, see who is connected. Pages for people are admin's."""
