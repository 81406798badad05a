"""The worlds that the reference service knows, declared as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to collect; it lies at exactly one spot, once for each player."""

    id: str
    name: str
    spot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quest:
    """Find every one of `item_ids`, then tell the NPC `giver_id`, who gives `reward`."""

    id: str
    title: str
    giver_id: str
    item_ids: tuple[str, ...]
    reward: Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Npc:
    """Someone to talk to. `lines` has one line for each stage of the world's quest."""

    id: str
    name: str
    lines: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One experience. Ids are unique within it."""

    name: str
    spots: Mapping[str, str]
    items: Mapping[str, Item]
    npcs: Mapping[str, Npc]
    quest: Quest

    def __post_init__(self) -> None:
        for flaw in _flaws(self):
            raise ValueError(f"world {self.name!r}: {flaw}")


def _flaws(world: World) -> Iterator[str]:
    for item in world.items.values():
        if item.spot_id not in world.spots:
            yield f"item {item.id!r} lies at an unknown spot"
    for item_id in world.quest.item_ids:
        if item_id not in world.items:
            yield f"quest {world.quest.id!r} asks for the unknown item {item_id!r}"
    if world.quest.giver_id not in world.npcs:
        yield f"quest {world.quest.id!r} is given by nobody"
    for npc in world.npcs.values():
        if set(npc.lines) != {"available", "active", "found", "completed"}:
            yield f"npc {npc.id!r} lacks a line for a stage of the quest"


_BOTTLES = (
    Item(id="bottle_of_mist", name="Bottle of Mist", spot_id="mill_pond"),
    Item(id="bottle_of_embers", name="Bottle of Embers", spot_id="charcoal_kiln"),
    Item(id="bottle_of_song", name="Bottle of Song", spot_id="singing_stone"),
)

WYLDING_WOODS = World(
    name="wylding-woods",
    spots={"mill_pond": "Mill Pond", "charcoal_kiln": "Charcoal Kiln", "singing_stone": "Singing Stone"},
    items={item.id: item for item in _BOTTLES},
    npcs={
        "bram": Npc(
            id="bram",
            name="Bram the Woodward",
            lines={
                "available": "Three bottles are lost in my woods. Bring me word when you have them all.",
                "active": "Not all yet. Mind the pond, the kiln and the stone.",
                "found": "All three! Take my lantern, you have earned it.",
                "completed": "The woods are quiet again, thanks to you.",
            },
        ),
        "wren": Npc(
            id="wren",
            name="Wren the Ferrywoman",
            lines={
                "available": "Ask Bram. He has lost something, as always.",
                "active": "Mist gathers at the mill pond. Have you looked there?",
                "found": "You clink when you walk. Bram will want to see that.",
                "completed": "Is that Bram's lantern? Then I row you for nothing.",
            },
        ),
    },
    quest=Quest(
        id="lost_bottles",
        title="The Lost Bottles",
        giver_id="bram",
        item_ids=tuple(item.id for item in _BOTTLES),
        reward=Item(id="brams_lantern", name="Bram's Lantern", spot_id=""),
    ),
)

WORLDS: Mapping[str, World] = {world.name: world for world in (WYLDING_WOODS,)}
