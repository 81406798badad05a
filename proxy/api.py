"""All that a product imports of the gateway: routes, what hooks say, topics and events, settings, counting.

What is not here may change from one release to the next without a word. A service behind the gateway needs
none of it; the reference KB takes some, since it shares the gateway's project.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from proxy.bridges.bridge import Broker, bridge
from proxy.bridges.jetstream import JetStreamBroker, nats_stream
from proxy.bridges.nats import NatsBroker, nats_client, nats_server
from proxy.bridges.redis import bridge_redis
from proxy.cluster.plane import EventPlane
from proxy.cluster.presence import Presence, Present, apresence, presence
from proxy.cluster.publishing import (
    Delivered,
    Publication,
    apublish,
    apublish_many,
    publish,
    publish_many,
    publish_on_commit,
)
from proxy.cluster.questions import LayerAway
from proxy.cluster.topic_rules import tell_topic_rules
from proxy.core.bridging.channels import BridgedChannel
from proxy.core.bridging.subjects import BridgedSubject
from proxy.core.buckets import Bucket
from proxy.core.closes import Close, ClosedBy
from proxy.core.credentials import Credentials
from proxy.core.errors import (
    AuthenticationFailed,
    BadRequest,
    Forbidden,
    GatewayError,
    LegClosed,
    NotFound,
    Overloaded,
    TokenExpired,
)
from proxy.core.events import Event
from proxy.core.findings import Amiss
from proxy.core.history import History
from proxy.core.human import is_printable, one_line
from proxy.core.legs import ClientSide, Leg, PushingLeg, payload_bytes
from proxy.core.limits import ConnectionLimits, LinkBounds, MessageLimits, OverRate, Rate
from proxy.core.outgoing import Outgoing, subject_token
from proxy.core.policies import DROP, FORWARD, LinkLog, Policy, Verdict
from proxy.core.pools.balancing import PolicyName
from proxy.core.pools.breaker import BreakerLimits
from proxy.core.pools.health import Probe, ProbeKind
from proxy.core.principal import Principal, is_user_id
from proxy.core.routes import ClientPath, Forward, LegPerLink, Overflow, Resume, Route, Subject, Upstream
from proxy.core.text_tables import table as as_table
from proxy.core.topic_rules import MOST_CAPACITY, MOST_MESSAGE_CHARS, TopicRule
from proxy.core.topics import EVERYONE, TopicKind, connection_topic, user_topic
from proxy.engine.background import Background
from proxy.engine.pools.probes import USER_AGENT as PROBE_USER_AGENT
from proxy.engine.redis.channels import SubscriberAway, SubscribeRefused
from proxy.engine.redis.commands import CommandsAway, RedisCommands
from proxy.engine.redis.subscriber import Subscriber, Subscription
from proxy.env import SettingError, env
from proxy.metrics import child
from proxy.outgoing.destination import Destination
from proxy.outgoing.sending import send_outgoing
from proxy.outgoing.to_jetstream import ToJetStream
from proxy.outgoing.to_rabbitmq import ToRabbitMQ, amqp_server
from proxy.outgoing.writing import send_many_on_commit, send_on_commit
from proxy.server.listening import listen
from proxy.server.options import Hooks
from proxy.standalone import deny, serve_application
from proxy.tables.executor import DatabaseExecutor, sqlstate_of
from proxy.trials import tried_by_doctor
from proxy.work import RunInDatabase, Workplace, run_on_every_node

if TYPE_CHECKING:
    from proxy.admin.asking import AsksFirst, Question, ReasonForm, answered
    from proxy.admin.deleting import AsksToDelete
    from proxy.admin.live_links import LiveLinks
    from proxy.admin.pages import CheckedAdmin, ReadOnlyAdmin, foreign, foreign_field, moment
    from proxy.cluster.revocations import revoke
    from proxy.cluster.rules import announce_topic_rules
    from proxy.http.operations import Answer, FixedPaths, prometheus
    from proxy.management.staff_command import CommandAnswer, DeedCommand, Misused, StaffCommand
    from proxy.rest.fields import Body, Text
    from proxy.rest.rates import UserRate
    from proxy.rest.schema import BODY_ERRORS, ERRORS, PAGE_ERRORS
    from proxy.rest.staff_view import ReasonedBody, StaffApiView
    from proxy.rest.user_view import UserApiView, UserOrKeyApiView
    from proxy.tables.deeds import Details, a_shell, note_deed
    from proxy.tables.staff_groups import give_permission
    from proxy.tokens import TokenVerifier

# What needs settings, and routes are imported before there are any: each is imported when it is asked for.
_LATE = {
    "proxy.admin.asking": ("AsksFirst", "Question", "ReasonForm", "answered"),
    "proxy.admin.deleting": ("AsksToDelete",),
    "proxy.admin.live_links": ("LiveLinks",),
    "proxy.admin.pages": ("CheckedAdmin", "ReadOnlyAdmin", "foreign", "foreign_field", "moment"),
    "proxy.cluster.revocations": ("revoke",),
    "proxy.cluster.rules": ("announce_topic_rules",),
    "proxy.http.operations": ("Answer", "FixedPaths", "prometheus"),
    "proxy.management.staff_command": ("CommandAnswer", "DeedCommand", "Misused", "StaffCommand"),
    "proxy.rest.fields": ("Body", "Text"),
    "proxy.rest.rates": ("UserRate",),
    "proxy.rest.schema": ("BODY_ERRORS", "ERRORS", "PAGE_ERRORS"),
    "proxy.rest.staff_view": ("ReasonedBody", "StaffApiView"),
    "proxy.rest.user_view": ("UserApiView", "UserOrKeyApiView"),
    "proxy.tables.deeds": ("Details", "a_shell", "note_deed"),
    "proxy.tables.staff_groups": ("give_permission",),
}

__all__ = [
    "BODY_ERRORS",
    "DROP",
    "ERRORS",
    "EVERYONE",
    "FORWARD",
    "MOST_CAPACITY",
    "MOST_MESSAGE_CHARS",
    "PAGE_ERRORS",
    "PROBE_USER_AGENT",
    "Amiss",
    "Answer",
    "AsksFirst",
    "AsksToDelete",
    "AuthenticationFailed",
    "Background",
    "BadRequest",
    "Body",
    "BreakerLimits",
    "BridgedChannel",
    "BridgedSubject",
    "Broker",
    "Bucket",
    "CheckedAdmin",
    "ClientPath",
    "ClientSide",
    "Close",
    "ClosedBy",
    "CommandAnswer",
    "CommandsAway",
    "ConnectionLimits",
    "Credentials",
    "DatabaseExecutor",
    "DeedCommand",
    "Delivered",
    "Destination",
    "Details",
    "Event",
    "EventPlane",
    "FixedPaths",
    "Forbidden",
    "Forward",
    "GatewayError",
    "History",
    "Hooks",
    "JetStreamBroker",
    "LayerAway",
    "Leg",
    "LegClosed",
    "LegPerLink",
    "LinkBounds",
    "LinkLog",
    "LiveLinks",
    "MessageLimits",
    "Misused",
    "NatsBroker",
    "NotFound",
    "Outgoing",
    "OverRate",
    "Overflow",
    "Overloaded",
    "Policy",
    "PolicyName",
    "Presence",
    "Present",
    "Principal",
    "Probe",
    "ProbeKind",
    "Publication",
    "PushingLeg",
    "Question",
    "Rate",
    "ReadOnlyAdmin",
    "ReasonForm",
    "ReasonedBody",
    "RedisCommands",
    "Resume",
    "Route",
    "RunInDatabase",
    "SettingError",
    "StaffApiView",
    "StaffCommand",
    "Subject",
    "SubscribeRefused",
    "Subscriber",
    "SubscriberAway",
    "Subscription",
    "Text",
    "ToJetStream",
    "ToRabbitMQ",
    "TokenExpired",
    "TopicKind",
    "TopicRule",
    "Upstream",
    "UserApiView",
    "UserOrKeyApiView",
    "UserRate",
    "Verdict",
    "Workplace",
    "a_shell",
    "amqp_server",
    "announce_topic_rules",
    "answered",
    "apresence",
    "apublish",
    "apublish_many",
    "as_table",
    "bridge",
    "bridge_redis",
    "child",
    "connection_topic",
    "deny",
    "env",
    "foreign",
    "foreign_field",
    "give_permission",
    "is_printable",
    "is_user_id",
    "listen",
    "moment",
    "nats_client",
    "nats_server",
    "nats_stream",
    "note_deed",
    "one_line",
    "payload_bytes",
    "presence",
    "prometheus",
    "publish",
    "publish_many",
    "publish_on_commit",
    "revoke",
    "run_on_every_node",
    "send_many_on_commit",
    "send_on_commit",
    "send_outgoing",
    "serve_application",
    "sqlstate_of",
    "subject_token",
    "tell_topic_rules",
    "token_verifier",
    "tried_by_doctor",
    "user_topic",
]


def __getattr__(name: str) -> Any:
    module = next((module for module, names in _LATE.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)


def token_verifier() -> TokenVerifier:
    """What verifies tokens as the gateway does, by its settings; Django has to be set up before."""
    from proxy import tokens

    return tokens.token_verifier()
