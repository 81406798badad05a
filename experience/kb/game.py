"""The rules of the game, pure: a player and a move make a turn. No sockets, no clock, no database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from experience.kb.world import Npc, World


class MoveRefused(Exception):
    """The rules do not allow the move. `code` is for programs, `message` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """What is kept of one user in one experience. `version` grows by one with every change.

    `inventory` holds item ids in the order of collecting. `quest_stage` is available, active, found or
    completed.
    """

    inventory: tuple[str, ...] = ()
    quest_stage: str = "available"
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a move led to: the player after it, whether that is a change, and what to tell the client.

    A move that is asked for again (see players.py) is a change, too: who was to hear of it may not have.
    """

    player: Player
    changed: bool
    reply: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """Pick up the item at the spot."""

    item_id: str
    spot_id: str

    def play(self, world: World, player: Player) -> Turn:
        """The turn that picks the item up.

        Raises:
            MoveRefused: unknown_item, unknown_spot, not_here or already_collected.
        """
        item = world.items.get(self.item_id)
        if item is None:
            raise MoveRefused("unknown_item", "There is no such item here.")
        if self.spot_id not in world.spots:
            raise MoveRefused("unknown_spot", "There is no such spot here.")
        if item.spot_id != self.spot_id:
            raise MoveRefused("not_here", f"{item.name} is not at this spot.")
        if item.id in player.inventory:
            raise MoveRefused("already_collected", f"You already have {item.name}.")
        inventory = (*player.inventory, item.id)
        stage = "found" if set(world.quest.item_ids) <= set(inventory) else "active"
        after = Player(inventory=inventory, quest_stage=stage, version=player.version + 1)
        return Turn(player=after, changed=True, reply={"message": f"You collected {item.name}."})


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """Say something to an NPC; what is said is heard, but only the quest moves the answer."""

    npc_id: str
    text: str = ""

    def play(self, world: World, player: Player) -> Turn:
        """The turn in which the NPC answers; the quest's giver starts the quest and rewards its end.

        Raises:
            MoveRefused: unknown_npc.
        """
        npc = world.npcs.get(self.npc_id)
        if npc is None:
            raise MoveRefused("unknown_npc", "Nobody of that name is here.")
        after = _hear(world, player, npc)
        reply = {"npc_id": npc.id, "npc_name": npc.name, "text": npc.lines[player.quest_stage]}
        return Turn(player=after, changed=after != player, reply=reply)


Move = Collect | Talk


def _hear(world: World, player: Player, npc: Npc) -> Player:
    if npc.id != world.quest.giver_id:
        return player
    if player.quest_stage == "available":
        return replace(player, quest_stage="active", version=player.version + 1)
    if player.quest_stage == "found":
        inventory = (*player.inventory, world.quest.reward.id)
        return Player(inventory=inventory, quest_stage="completed", version=player.version + 1)
    return player


def describe_player(world: World, player: Player) -> dict[str, Any]:
    """The player's state as clients see it: version, inventory, quests."""
    quest = world.quest
    names = {item.id: item.name for item in (*world.items.values(), quest.reward)}
    return {
        "version": player.version,
        # An id that the world no longer declares stays in the inventory, under its id.
        "inventory": [{"item_id": item, "name": names.get(item, item)} for item in player.inventory],
        "quests": [
            {
                "quest_id": quest.id,
                "title": quest.title,
                "stage": player.quest_stage,
                "progress": len(set(quest.item_ids) & set(player.inventory)),
                "goal": len(quest.item_ids),
            }
        ],
    }


def describe_world(world: World, player: Player) -> dict[str, Any]:
    """What the player can still collect, where, and whom there is to talk to."""
    left = [item for item in world.items.values() if item.id not in player.inventory]
    return {
        "items": [{"item_id": item.id, "name": item.name, "spot_id": item.spot_id} for item in left],
        "npcs": [{"npc_id": npc.id, "name": npc.name} for npc in world.npcs.values()],
    }
