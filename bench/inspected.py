"""A twin of the game route, whose policy is that of bench/gateway_asgi.py."""

from __future__ import annotations

from dataclasses import replace

from experience.routes import EXPERIENCE

INSPECTED = replace(EXPERIENCE, name="inspected", paths=("ws/inspected",), control=False)
