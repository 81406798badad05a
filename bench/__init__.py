"""The gateway and other WebSocket proxies, measured side by side; README.md says how to read it."""
