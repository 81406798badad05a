"""What the environment says of the reference product; read where ROUTES names its routes, and only there."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from proxy.api import (
    BridgedChannel,
    BridgedSubject,
    SettingError,
    amqp_server,
    env,
    nats_server,
    nats_stream,
)

env.also_called({"STUDIO_URLS": "STUDIO_WS_URLS", "STUDIO_URL": "STUDIO_WS_URLS", "KB_URL": "KB_SERVICE_URL"})

_PROBES = ("websocket", "http", "none")

# --- The game -----
KB_SERVICE_URL = env.service_url("KB_SERVICE_URL", "http://127.0.0.1:8001")
KB_PROBE = env.choice("KB_PROBE", "websocket", _PROBES)
KB_PROBE_PATH = env.path("KB_PROBE_PATH", "")
KB_PROBE_SECONDS = env.seconds("KB_PROBE_SECONDS", 30, least=0.1)
# A class of pupils, or a whole office, plays from one address, and comes back in the same second.
EXPERIENCE_LIMITS = env.connection_limits("experience", per_ip=200, per_user=20, rate="100/s")
EXPERIENCE_BOUNDS = env.link_bounds("experience")
EXPERIENCE_MESSAGE_RATE = env.rate("EXPERIENCE_MESSAGE_RATE", "1000/s")
KB_ACTION_SECONDS = env.seconds("KB_ACTION_SECONDS", 5.0, least=0.1, most=15)
KB_ACTIONS_PER_LINK = env.integer("KB_ACTIONS_PER_LINK", 16)
KB_ACTIONS_WAITING = env.integer("KB_ACTIONS_WAITING", 2_000)
KB_ACTION_CONNECTIONS = env.integer("KB_ACTION_CONNECTIONS", 100)


def _percent(raw: str) -> float:
    if not 0 <= float(raw) <= 100:
        raise ValueError
    return float(raw)


V2_SHARE = env.read("V2_SHARE", 0.0, _percent, expected="a percentage from 0 to 100")
V2_CLAIM = env.text("V2_CLAIM")


# --- The studio -----
def _namespace(raw: str) -> str:
    if not re.fullmatch(r"/[\w.~/-]+", raw):
        raise ValueError
    return raw


STUDIO_WS_URLS = env.service_urls("STUDIO_WS_URLS")
STUDIO_POLICY = env.choice(
    "STUDIO_POLICY", "least_connections", ("round_robin", "least_connections", "weighted", "affinity")
)
STUDIO_RESUME = env.choice("STUDIO_RESUME", "close", ("close", "reconnect"))
STUDIO_SOCKETIO_NAMESPACES = env.several(
    "STUDIO_SOCKETIO_NAMESPACES",
    _namespace,
    expected="Socket.IO namespaces separated by commas, such as /admin, without the main one",
)
STUDIO_PROBE = env.choice("STUDIO_PROBE", "websocket", _PROBES)
STUDIO_PROBE_PATH = env.path("STUDIO_PROBE_PATH", "")
STUDIO_PROBE_SECONDS = env.seconds("STUDIO_PROBE_SECONDS", 30, least=0.1)
STUDIO_MEMBER_MAX_CONNECTIONS = env.integer("STUDIO_MEMBER_MAX_CONNECTIONS", 0, least=0) or None
STUDIO_LIMITS = env.connection_limits("studio", per_ip=10, per_user=5, rate="20/s")
STUDIO_BOUNDS = env.link_bounds("studio")
MESSAGE_RATE_PER_USER = env.rate("MESSAGE_RATE_PER_USER", "100/s")
MESSAGE_RATE_PER_CONNECTION = env.optional_rate("MESSAGE_RATE_PER_CONNECTION")
BYTE_RATE_PER_USER = env.optional_rate("BYTE_RATE_PER_USER")
BYTE_RATE_PER_CONNECTION = env.optional_rate("BYTE_RATE_PER_CONNECTION")
MESSAGE_RATE_POLICY = env.choice("MESSAGE_RATE_POLICY", "drop", ("drop", "close", "wait"))

# --- Events from elsewhere -----
NATS_URL = env.several("NATS_URL", nats_server, expected="URLs like nats://host:4222, separated by commas")
NATS_SUBJECTS = env.several(
    "NATS_SUBJECTS",
    BridgedSubject.parse,
    default=(
        BridgedSubject("world.updates.user.{user_id}", "user:{user_id}"),
        BridgedSubject("world.updates.experience.{id}", "experience:{id}"),
    ),
    expected="SUBJECT=TOPIC, separated by commas, such as news.{id}=user:{id}, news.*.all=everyone",
)
NATS_STREAM = env.read(
    "NATS_STREAM", "", nats_stream, expected="the name of a stream of JetStream, such as WORLD"
)
REDIS_CHANNELS = env.several(
    "REDIS_CHANNELS",
    BridgedChannel.parse,
    expected="CHANNEL=TOPIC, separated by commas, such as news:{id}=user:{id}, news:*:all=everyone",
)


# --- Events to other services -----
def _prefix(raw: str) -> str:
    if len(raw) > 100 or not re.fullmatch(r"[A-Za-z0-9][\w-]*(\.[\w-]+)*", raw, re.ASCII):
        raise ValueError
    return raw


def _exchange(raw: str) -> str:
    if raw.startswith("amq.") or not re.fullmatch(r"[\w.:-]{1,127}", raw, re.ASCII):  # amq.: the server's own
        raise ValueError
    return raw


def _file(raw: str) -> str:
    if not Path(raw).is_file():
        raise ValueError
    return raw


AMQP_URL = env.secret(
    "AMQP_URL",
    parse=amqp_server,
    expected="a URL like amqps://user:password@host:5671/vhost, with / as %2F, ? as %3F, # as %23, @ as %40",
)
AMQP_CA_FILE = env.read(
    "AMQP_CA_FILE", "", _file, expected="the path of a file that holds certificates in PEM"
)
CHAT_EVENTS = env.choice(
    "CHAT_EVENTS", "rabbitmq" if AMQP_URL else "nats" if NATS_URL else "off", ("off", "nats", "rabbitmq")
)
CHAT_EVENTS_PREFIX = env.read(
    "CHAT_EVENTS_PREFIX", "chat", _prefix, expected="words with dots between, such as shop.chat"
)
CHAT_EVENTS_STREAM = env.read(
    "CHAT_EVENTS_STREAM", "CHAT", nats_stream, expected="the name of a stream of JetStream, such as CHAT"
)
CHAT_EVENTS_EXCHANGE = env.read(
    "CHAT_EVENTS_EXCHANGE", "chat", _exchange, expected="the name of an exchange, such as chat"
)
CHAT_EVENTS_WAIT_SECONDS = env.seconds("CHAT_EVENTS_WAIT_SECONDS", 86_400)
if CHAT_EVENTS == "rabbitmq" and not AMQP_URL:
    _wrong = SettingError("CHAT_EVENTS", "nats or off while AMQP_URL is unset", CHAT_EVENTS)
    CHAT_EVENTS = env.amiss(_wrong, "off")
if CHAT_EVENTS == "nats" and not NATS_URL:
    _wrong = SettingError("CHAT_EVENTS", "rabbitmq or off while NATS_URL is unset", CHAT_EVENTS)
    CHAT_EVENTS = env.amiss(_wrong, "off")

# --- Sessions of agents -----
RELAY_REDIS_TIMEOUT_SECONDS = env.seconds("RELAY_REDIS_TIMEOUT_SECONDS", 5, most=6)
RELAY_GRACE_SECONDS = env.seconds("RELAY_GRACE_SECONDS", 30)
RELAY_MAX_MESSAGE_BYTES = env.integer("RELAY_MAX_MESSAGE_BYTES", 256 * 1024, least=128, most=1 << 20)
# Beyond the former a client's message is answered with an error; beyond this, either side's closes the link.
RELAY_MOST_BYTES = 4 * RELAY_MAX_MESSAGE_BYTES
RELAY_OUTBOX_BYTES = env.integer("RELAY_OUTBOX_BYTES", 10 << 20, least=1024)
RELAY_MODES = ("live", "durable")
RELAY_MODE = env.choice("RELAY_MODE", "live", RELAY_MODES)
RELAY_KEEP_MESSAGES = env.integer("RELAY_KEEP_MESSAGES", 1000, least=1)
RELAY_KEEP_SECONDS = env.seconds("RELAY_KEEP_SECONDS", 3600, least=1)
RELAY_KEEP_BYTES = env.integer("RELAY_KEEP_BYTES", 16 << 20, least=64 * 1024)
RELAY_WS_TIMEOUT_SECONDS = env.seconds("RELAY_WS_TIMEOUT_SECONDS", None)
RELAY_MESSAGE_RATE = env.rate("RELAY_MESSAGE_RATE", "1000/s")
RELAY_BYTE_RATE = env.rate("RELAY_BYTE_RATE", "8388608/s")
# A page may show several agents, and whole offices come from one address.
RELAY_LIMITS = env.connection_limits("relay", per_ip=200, per_user=20, rate="100/s")


# --- The chat -----
def _word(raw: str) -> str:
    if not re.fullmatch(r"\w+", unicodedata.normalize("NFC", raw)):
        raise ValueError
    return raw


CHAT_SERVICE_URLS = env.service_urls("CHAT_SERVICE_URL")
CHAT_PROBE = env.choice("CHAT_PROBE", "message", ("message", *_PROBES))
CHAT_PROBE_PATH = env.path("CHAT_PROBE_PATH", "")
CHAT_PROBE_SECONDS = env.seconds("CHAT_PROBE_SECONDS", 30, least=0.1)
# A page holds one socket for each of its tabs, and whole offices come from one address, back in one second.
CHAT_LIMITS = env.connection_limits("chat", per_ip=200, per_user=20, rate="100/s")
CHAT_BOUNDS = env.link_bounds("chat", max_message_bytes=64 * 1024)
CHAT_TEXT_CHARACTERS = env.integer("CHAT_TEXT_CHARACTERS", 4000)
# Who was away says in one go what has waited.
CHAT_MESSAGE_RATE_PER_CONNECTION = env.rate("CHAT_MESSAGE_RATE_PER_CONNECTION", "600/m")
CHAT_MESSAGE_RATE_PER_USER = env.rate("CHAT_MESSAGE_RATE_PER_USER", "1200/m")
CHAT_ERROR_RATE = env.rate("CHAT_ERROR_RATE", "30/m")
CHAT_MASKED_WORDS = env.several("CHAT_MASKED_WORDS", _word, expected="words, separated by commas")
CHAT_MAX_PARTICIPANTS = env.integer("CHAT_MAX_PARTICIPANTS", 1_000, least=2, most=10_000)
CHAT_CHANGE_RATE_PER_USER = env.rate("CHAT_CHANGE_RATE_PER_USER", "60/m")
CHAT_PAGE = env.flag("CHAT_PAGE", env.flag("DEBUG", False))
