"""Live, the first page of admin: a verdict, figures, charts; who came, who left and who was turned away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone

from proxy.admin.live_rows import Range, just_left, on_now, turned_away
from proxy.core.causes import REFUSED, WORDS
from proxy.core.figures import in_words
from proxy.core.verdict import Level, Verdict
from proxy.status import MINUTES, status
from proxy.tables.marks import marks_since
from proxy.tables.staff import note_seen_by, seen_by

SPANS = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}
# What scripts send with what they ask for again: they need no navigation around it.
ASKED_AGAIN = "X-Asked-Again"
_PAGE, _BARE = "admin/proxy/live/page.html", "admin/proxy/live/bare.html"
# As staff know states by colours from the other pages.
_DOTS = {Level.WELL: "gateway-live", Level.LOOK: "gateway-late", Level.BAD: "gateway-down"}


def page(request: HttpRequest) -> HttpResponse:
    """Needs `proxy.view_connection`; refusals, nodes and members have permissions of their own.

    What is counted of all is shown to all who see the page. Eight queries, whatever there is to show.
    """
    if not request.user.has_perm("proxy.view_connection"):
        raise PermissionDenied
    chosen, has_perm = _range(request), request.user.has_perm
    if ASKED_AGAIN not in request.headers:
        context = {**admin.site.each_context(request), **_context(chosen, has_perm)}
        return TemplateResponse(request, _PAGE, {**context, "frame": "admin/base_site.html"})
    # Whoever may see the same is given this (proxy/http/shared_answers.py): nothing on it is of one person.
    note_seen_by(request, seen_by(request.user))
    return HttpResponse(render_to_string(_PAGE, {**_context(chosen, has_perm), "frame": _BARE}, request))


def _context(chosen: Range | None, has_perm: Callable[[str], bool]) -> dict[str, Any]:
    now = status()
    names = {node.id: node.name for node in now.nodes}
    return {
        "title": "Live",
        "zone": timezone.get_current_timezone_name(),
        "spans": list(SPANS),
        "words": {"closes": WORDS, "refusals": REFUSED},
        "range": chosen,
        "nodes": now.nodes,
        "pools": [pool for pool in now.pools if pool.members],
        "refused": now.refused,
        "minutes": MINUTES,
        "totals": now.totals,
        "figures": in_words(now.recent),
        **_said(now.verdict),
        "on_now": on_now(chosen, names),
        "just_left": just_left(chosen, names),
        "turned_away": turned_away(chosen) if has_perm("proxy.view_refusal") else [],
    }


def marks(request: HttpRequest) -> HttpResponse:
    """`{"marks": [{"at", "kind", "words"}]}`: what happened in `?span=`, the first first."""
    if not request.user.has_perm("proxy.view_connection"):
        raise PermissionDenied
    span = SPANS.get(request.GET.get("span", "15m"))
    if span is None:
        raise BadRequest(f"span is one of {', '.join(SPANS)}")
    note_seen_by(request, seen_by(request.user))
    found = marks_since(timezone.now() - span, may=request.user.has_perm)
    return JsonResponse({"marks": [mark.told() for mark in found]})


def _said(found: Verdict) -> dict[str, Any]:
    first, *others = found.sentences
    return {"level": found.level.word, "dot": _DOTS[found.level], "first": first, "others": others}


def _range(request: HttpRequest) -> Range | None:
    """What time was chosen on a chart, in whole Unix seconds. Raises BadRequest for half of a range."""
    said = [request.GET[name] for name in ("since", "until") if name in request.GET]
    if not said:
        return None
    try:
        since, until = (datetime.fromtimestamp(int(each), UTC) for each in said)
    except (ValueError, OverflowError, OSError):
        raise BadRequest("since and until are Unix seconds") from None
    return Range(min(since, until), max(since, until))
