"""Django admin: who is connected, through what, how it is doing; and ending it. docs/admin.md tells staff."""

from proxy.admin.api_keys import ApiKeyAdmin
from proxy.admin.audit import DeedAdmin
from proxy.admin.blocks import BlockAdmin
from proxy.admin.connections import ConnectionAdmin
from proxy.admin.nodes import NodeAdmin
from proxy.admin.outgoing_events import OutgoingEventAdmin
from proxy.admin.people.page import PersonAdmin
from proxy.admin.pools import PoolMemberAdmin
from proxy.admin.refusals import RefusalAdmin
from proxy.admin.revocations import RevocationAdmin
from proxy.admin.staff import StaffAdmin, StaffGroupAdmin

__all__ = [
    "ApiKeyAdmin",
    "BlockAdmin",
    "ConnectionAdmin",
    "DeedAdmin",
    "NodeAdmin",
    "OutgoingEventAdmin",
    "PersonAdmin",
    "PoolMemberAdmin",
    "RefusalAdmin",
    "RevocationAdmin",
    "StaffAdmin",
    "StaffGroupAdmin",
]
