"""Django admin: who is connected, through what, how it is doing; and ending it. docs/admin.md tells staff."""

from proxy.admin.connections import ConnectionAdmin
from proxy.admin.nodes import NodeAdmin

__all__ = ["ConnectionAdmin", "NodeAdmin"]
