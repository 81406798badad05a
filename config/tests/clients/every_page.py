"""Every page of admin, of the rows that `fill_admin.py` makes: its address, or what leads there."""

from __future__ import annotations

from typing import NamedTuple


class Chosen(NamedTuple):
    """What is chosen of a list, ticked rows and an action, so that its page asks before that is done."""

    at: str
    rows: tuple[str, ...]
    action: str


_PROXY = (
    "live/",
    "connection/",
    "connection/?user=ada",
    "connection/long/change/",
    "connection/long/history/",
    "connection/broadcast/",
    "connection/long/tap/",
    "connection/tapped/tap/",
    "connection/tapped/change/",
    "connection/tapped/tap/tapped/",
    "connection/tapped/tap/tapped/stop/",
    "refusal/",
    "refusal/long/change/",
    "refusal/long/history/",
    "deed/",
    "deed/-1/change/",
    "deed/1/change/",
    "deed/1/history/",
    "block/",
    "block/add/?user_id=ada",
    "block/1/change/",
    "block/1/delete/",
    "block/1/history/",
    "revocation/",
    "revocation/add/?user_id=ada",
    "revocation/1/change/",
    "revocation/1/history/",
    "node/",
    "node/long/change/",
    "node/long/drain/",
    "node/long/history/",
    "poolmember/",
    "poolmember/add/",
    "poolmember/1/change/",
    "poolmember/1/delete/",
    "poolmember/1/history/",
    "apikey/",
    "apikey/long/change/",
    "apikey/long/history/",
    "person/",
    "person/?q=2001:db8:1234:5678::",
    f"person/{'W' * 255}/",
    "person/ada/",
    "outgoingevent/",
    "outgoingevent/1/change/",
    "outgoingevent/1/history/",
)
_CHANGED = ("", "add/", "1/change/", "1/delete/", "1/history/")
_CHAT = tuple(f"{kind}/{page}" for kind in ("participant", "block") for page in _CHANGED)
_CHAT += tuple(f"conversation/{page.replace('1', 'c' * 32)}" for page in _CHANGED)
_CHAT += ("message/", "message/1/change/", "message/1/history/")
_AUTH = tuple(f"{kind}/{page}" for kind in ("user", "group") for page in _CHANGED)
PAGES = (
    "/admin/",
    "/admin/proxy/",
    "/admin/password_change/",
    "/admin/password_change/done/",
    *(f"/admin/proxy/{page}" for page in _PROXY),
    *(f"/admin/experience/experience/{page}" for page in _CHANGED),
    *(f"/admin/chat/{page}" for page in _CHAT),
    *(f"/admin/auth/{page}" for page in (*_AUTH, "user/1/password/")),
)
_CONNECTION, _EXPERIENCE = "/admin/proxy/connection/", "/admin/experience/experience/"
CHOSEN = (
    *(
        Chosen(_CONNECTION, ("long", "rtl", "emoji", "ada"), action)
        for action in ("kick_links", "kick_users", "message_links", "message_users")
    ),
    Chosen("/admin/proxy/apikey/", ("long", "rtl"), "revoke"),
    Chosen("/admin/proxy/block/", ("1", "2"), "delete_selected"),
    *(
        Chosen(_EXPERIENCE, ("1", "2", "3", "4"), action)
        for action in ("disable", "enable", "delete_selected")
    ),
    *(
        Chosen(f"/admin/{kind}/", ("1",), "delete_selected")
        for kind in ("auth/user", "auth/group", "chat/participant", "chat/block")
    ),
    Chosen("/admin/chat/conversation/", ("c" * 32,), "delete_selected"),
)
# Pages whose buttons ask first.
PRESSED = (
    ("/admin/proxy/poolmember/", "Drain"),
    ("/admin/proxy/poolmember/", "Move links"),
    ("/admin/proxy/block/add/?network=192.0.0.0/4", "Save"),
)
# No page to look at, each with why; as the table of permissions calls them.
_RECORDS = tuple(
    f"proxy/{kind}" for kind in ("apikey", "connection", "deed", "node", "outgoingevent", "refusal")
)
_LISTS = (
    *_RECORDS,
    *(f"proxy/{kind}" for kind in ("block", "poolmember", "revocation")),
    "experience/experience",
)
_LISTS += (
    "auth/user",
    "auth/group",
    *(f"chat/{kind}" for kind in ("conversation", "message", "participant", "block")),
)
NO_PAGES = {
    "login/": "whoever is logged in is led on; every test that logs in looks at it",
    "logout/": "posted to; says so in a sentence",
    "(?P<url>.*)$": "there is no such page",
    "jsi18n/": "a script",
    "autocomplete/": "JSON",
    "r/KIND/ID/": "leads on",
    "proxy/live/events/": "a stream",
    "proxy/live/series/": "JSON",
    "proxy/live/marks/": "JSON",
    "proxy/tap/ID/events/": "a stream",
    "proxy/deed/export/": "a file",
    "proxy/revocation/ID/delete/": "nobody may",
    **{f"{each}/ID/": "leads on" for each in _LISTS},
    **{
        f"{each}/{page}": "nobody may"
        for each in (*_RECORDS, "chat/message")
        for page in ("add/", "ID/delete/")
    },
}
# Actions that ask nothing, or are none of a list's menu; each with why.
NOT_CHOSEN = {
    ("proxy/outgoingevent", "try_again"): "done at once",
    ("proxy/poolmember", "delete_selected"): "its list is a table without a menu",
}
