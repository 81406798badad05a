"""What the gateway keeps in the database, a file for each concern."""

from proxy.models.connections import CLOSED_BY, Connection, Node, Refusal
from proxy.models.deeds import Deed, DeedDetails, ProgramDeed
from proxy.models.keeping_out import Block, Kick, KickReport, Revocation, remembered_until
from proxy.models.keys import ApiKey
from proxy.models.minutes import Minute
from proxy.models.people import LinkEvent, Person, StaffNote
from proxy.models.pool_members import MemberReport, PoolMember
from proxy.models.taps import Tap
from proxy.models.waiting import OutgoingEvent, Turn, WaitingEvent

__all__ = [
    "CLOSED_BY",
    "ApiKey",
    "Block",
    "Connection",
    "Deed",
    "DeedDetails",
    "Kick",
    "KickReport",
    "LinkEvent",
    "MemberReport",
    "Minute",
    "Node",
    "OutgoingEvent",
    "Person",
    "PoolMember",
    "ProgramDeed",
    "Refusal",
    "Revocation",
    "StaffNote",
    "Tap",
    "Turn",
    "WaitingEvent",
    "remembered_until",
]
