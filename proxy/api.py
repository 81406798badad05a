"""All that a product imports of the gateway: routes, what hooks say, topics and events, settings, counting.

What is not here may change from one release to the next without a word. A service behind the gateway needs
none of it; the reference KB takes some, since it shares the gateway's project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.cluster.publishing import publish, publish_on_commit
from proxy.cluster.signals import LayerAway
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
from proxy.core.human import one_line
from proxy.core.legs import Leg
from proxy.core.limits import ConnectionLimits, LinkBounds, MessageLimits, OverRate, Rate
from proxy.core.policies import DROP, FORWARD, Policy, Verdict
from proxy.core.pools.balancing import PolicyName
from proxy.core.pools.breaker import BreakerLimits
from proxy.core.pools.health import Probe, ProbeKind
from proxy.core.principal import Principal
from proxy.core.routes import ClientPath, Forward, LegPerLink, Overflow, Resume, Route, Subject, Upstream
from proxy.core.topics import EVERYONE, TopicKind, connection_topic, user_topic
from proxy.engine.background import Background
from proxy.engine.pools.probes import USER_AGENT as PROBE_USER_AGENT
from proxy.env import SettingError, env
from proxy.metrics import child
from proxy.tables.executor import DatabaseExecutor
from proxy.work import Workplace, run_on_every_node

if TYPE_CHECKING:
    from proxy.tokens import TokenVerifier

__all__ = [
    "DROP",
    "EVERYONE",
    "FORWARD",
    "PROBE_USER_AGENT",
    "AuthenticationFailed",
    "Background",
    "BadRequest",
    "BreakerLimits",
    "Bucket",
    "ClientPath",
    "Close",
    "ClosedBy",
    "ConnectionLimits",
    "Credentials",
    "DatabaseExecutor",
    "Forbidden",
    "Forward",
    "GatewayError",
    "LayerAway",
    "Leg",
    "LegClosed",
    "LegPerLink",
    "LinkBounds",
    "MessageLimits",
    "NotFound",
    "OverRate",
    "Overflow",
    "Overloaded",
    "Policy",
    "PolicyName",
    "Principal",
    "Probe",
    "ProbeKind",
    "Rate",
    "Resume",
    "Route",
    "SettingError",
    "Subject",
    "TokenExpired",
    "TopicKind",
    "Upstream",
    "Verdict",
    "Workplace",
    "child",
    "connection_topic",
    "env",
    "one_line",
    "publish",
    "publish_on_commit",
    "run_on_every_node",
    "token_verifier",
    "user_topic",
]


def token_verifier() -> TokenVerifier:
    """What verifies tokens as the gateway does, by its settings; Django has to be set up before."""
    from proxy import tokens

    return tokens.token_verifier()
