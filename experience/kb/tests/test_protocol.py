"""Parsing and encoding of messages."""

from __future__ import annotations

import json

import pytest

from experience.kb import protocol
from experience.kb.game import Collect, Player, Talk
from experience.kb.protocol import GetState, InvalidMessage, Ping, parse
from experience.kb.world import WYLDING_WOODS


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ('{"type":"ping"}', Ping()),
        ('{"type":"ping","timestamp":17.5}', Ping(timestamp=17.5)),
        ('{"type":"get_state"}', GetState()),
        (
            '{"type":"action","action":"collect_bottle","item_id":"a","spot_id":"b"}',
            Collect(item_id="a", spot_id="b"),
        ),
        (
            '{"type":"action","action":"talk","npc_id":"bram","text":"hi"}',
            Talk(npc_id="bram", text="hi"),
        ),
        ('{"type":"talk","npc_id":"bram"}', Talk(npc_id="bram")),
    ],
)
def test_each_message_of_the_protocol_is_understood(message: str, content: object) -> None:
    assert parse(message).content == content


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b'{"type":"ping"}', "text_expected"),
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("NaN", "invalid_json"),
        ('{"type":"ping","timestamp":Infinity}', "invalid_json"),
        ("9" * 5_000, "invalid_json"),
        ("[]", "invalid_message"),
        ("{}", "invalid_message"),
        ('{"type":7}', "invalid_message"),
        ('{"type":""}', "invalid_message"),
        ('{"type":"dance"}', "unknown_type"),
        ('{"type":"collect_bottle","item_id":"a","spot_id":"b"}', "unknown_type"),
        ('{"type":"action"}', "invalid_message"),
        ('{"type":"action","action":"fly"}', "unknown_action"),
        ('{"type":"action","action":"collect_bottle","item_id":"a"}', "invalid_message"),
        ('{"type":"action","action":"collect_bottle","item_id":["a"],"spot_id":"b"}', "invalid_message"),
        ('{"type":"talk"}', "invalid_message"),
        ('{"type":"talk","npc_id":"\\ud800"}', "invalid_message"),
        ('{"type":"talk","npc_id":"bram","text":"' + "x" * 2_001 + '"}', "invalid_message"),
        ('{"type":"ping","timestamp":true}', "invalid_message"),
        ('{"type":"ping","timestamp":1e999}', "invalid_message"),
        ('{"type":"ping","timestamp":' + "9" * 4_000 + "}", "invalid_message"),
        ('{"type":"ping","request_id":5}', "invalid_message"),
    ],
)
def test_what_is_not_of_the_protocol_is_named(message: str | bytes, code: str) -> None:
    with pytest.raises(InvalidMessage) as invalid:
        parse(message)
    assert invalid.value.code == code


def test_the_request_id_comes_back_even_with_an_error() -> None:
    with pytest.raises(InvalidMessage) as invalid:
        parse('{"type":"dance","request_id":"r1"}')
    assert invalid.value.request_id == "r1"
    assert json.loads(protocol.error("x", "y", request_id="r1"))["request_id"] == "r1"


def test_a_pong_carries_the_pings_timestamp_or_else_the_services() -> None:
    echoed = json.loads(protocol.pong(Ping(timestamp="noon"), request_id=None, timestamp=5))
    own = json.loads(protocol.pong(Ping(), request_id=None, timestamp=5))

    assert echoed == {"type": "pong", "timestamp": "noon", "server_timestamp": 5}
    assert own == {"type": "pong", "timestamp": 5, "server_timestamp": 5}


def test_the_event_of_a_change_holds_the_whole_state_so_that_a_lost_one_costs_nothing() -> None:
    player = Player(inventory=("bottle_of_mist",), quest_stage="active", version=1)

    event = protocol.state_changed(WYLDING_WOODS, player, timestamp=5)

    assert event["type"] == "state.changed"
    assert event["experience"] == "wylding-woods"
    assert event["version"] == 1
    assert event["inventory"] == [{"item_id": "bottle_of_mist", "name": "Bottle of Mist"}]
    assert event["quests"][0]["progress"] == 1
