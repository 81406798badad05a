"""The rules, without a socket."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experience.kb.game import Collect, MoveRefused, Player, Talk, describe_player, describe_world
from experience.kb.world import WORLDS, WYLDING_WOODS

ALL_BOTTLES = tuple(WYLDING_WOODS.items)


def collect(item_id: str, player: Player) -> Player:
    spot_id = WYLDING_WOODS.items[item_id].spot_id
    return Collect(item_id=item_id, spot_id=spot_id).play(WYLDING_WOODS, player).player


def player_with(*item_ids: str) -> Player:
    player = Player()
    for item_id in item_ids:
        player = collect(item_id, player)
    return player


def test_a_collected_item_is_in_the_inventory_and_moves_the_quest() -> None:
    turn = Collect(item_id="bottle_of_mist", spot_id="mill_pond").play(WYLDING_WOODS, Player())

    assert turn.changed
    assert turn.player == Player(inventory=("bottle_of_mist",), quest_stage="active", version=1)
    assert turn.reply["message"] == "You collected Bottle of Mist."


@pytest.mark.parametrize(
    ("item_id", "spot_id", "code"),
    [
        ("bottle_of_ink", "mill_pond", "unknown_item"),
        ("bottle_of_mist", "moon", "unknown_spot"),
        ("bottle_of_mist", "singing_stone", "not_here"),
    ],
)
def test_what_is_not_there_cannot_be_collected(item_id: str, spot_id: str, code: str) -> None:
    with pytest.raises(MoveRefused) as refused:
        Collect(item_id=item_id, spot_id=spot_id).play(WYLDING_WOODS, Player())
    assert refused.value.code == code


def test_an_item_is_collected_once() -> None:
    with pytest.raises(MoveRefused) as refused:
        collect("bottle_of_mist", player_with("bottle_of_mist"))
    assert refused.value.code == "already_collected"


def test_the_last_item_finds_the_quest_and_its_giver_completes_it() -> None:
    player = player_with(*ALL_BOTTLES)
    assert player.quest_stage == "found"

    turn = Talk(npc_id="bram").play(WYLDING_WOODS, player)

    assert turn.changed
    assert turn.player.quest_stage == "completed"
    assert turn.player.inventory == (*ALL_BOTTLES, "brams_lantern")
    assert "lantern" in turn.reply["text"]


def test_a_completed_quest_gives_no_second_reward() -> None:
    player = Talk(npc_id="bram").play(WYLDING_WOODS, player_with(*ALL_BOTTLES)).player

    turn = Talk(npc_id="bram").play(WYLDING_WOODS, player)

    assert (turn.changed, turn.player) == (False, player)


def test_the_giver_starts_the_quest_and_others_only_talk_of_it() -> None:
    assert Talk(npc_id="bram").play(WYLDING_WOODS, Player()).player.quest_stage == "active"
    assert not Talk(npc_id="wren").play(WYLDING_WOODS, Player()).changed


def test_nobody_of_an_unknown_name_answers() -> None:
    with pytest.raises(MoveRefused) as refused:
        Talk(npc_id="nobody").play(WYLDING_WOODS, Player())
    assert refused.value.code == "unknown_npc"


def test_every_change_makes_the_version_grow_by_one() -> None:
    assert [player_with(*ALL_BOTTLES[:count]).version for count in range(4)] == [0, 1, 2, 3]


def test_a_description_counts_the_quests_progress_and_lists_what_is_left() -> None:
    player = player_with("bottle_of_song")

    quest = describe_player(WYLDING_WOODS, player)["quests"][0]
    left = describe_world(WYLDING_WOODS, player)["items"]

    assert (quest["stage"], quest["progress"], quest["goal"]) == ("active", 1, 3)
    assert [item["item_id"] for item in left] == ["bottle_of_mist", "bottle_of_embers"]


def test_an_item_that_the_world_no_longer_has_stays_in_the_inventory() -> None:
    described = describe_player(WYLDING_WOODS, Player(inventory=("old_coin",)))
    assert described["inventory"] == [{"item_id": "old_coin", "name": "old_coin"}]


def test_a_world_with_a_gap_in_it_is_no_world() -> None:
    with pytest.raises(ValueError, match="unknown spot"):
        replace(WYLDING_WOODS, spots={})


def test_worlds_are_found_by_their_names() -> None:
    assert all(world.name == name for name, world in WORLDS.items())
