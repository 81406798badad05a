"""The session service: the gateway holds the game's sockets, the KB answers one action at a time."""
