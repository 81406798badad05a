"""GET /api/experiences: what staff say of them; POST /api/experiences/disable, /enable and /change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from experience.models import Experience, is_slug
from experience.switching import change, close, enable, topics
from proxy.api import (
    BODY_ERRORS,
    ERRORS,
    MOST_CAPACITY,
    MOST_MESSAGE_CHARS,
    PAGE_ERRORS,
    LiveLinks,
    ReasonedBody,
    StaffApiView,
    Text,
)

MOST_ROWS = 1_000
_MAX_SLUG_CHARS = 117


class ExperienceSerializer(serializers.ModelSerializer[Experience]):
    """One of which staff say something. All others are open to as many as come."""

    class Meta:
        model = Experience
        fields = ("slug", "title", "enabled", "ends_links", "maintenance_message", "capacity")


class ExperiencesSerializer(serializers.Serializer[Any]):
    """Those that have a row, by slug."""

    experiences = ExperienceSerializer(many=True)
    is_cut = serializers.BooleanField(help_text=f"There are more than {MOST_ROWS:,}.")


class Experiences(StaffApiView):
    """What staff say of experiences."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "experience.view_experience"}

    @extend_schema(operation_id="experiences", responses={200: ExperiencesSerializer, **ERRORS})
    def get(self, request: Request) -> Response:
        """By slug, the first thousand."""
        rows = list(Experience.objects.order_by("slug")[: MOST_ROWS + 1])
        told = {"experiences": rows[:MOST_ROWS], "is_cut": len(rows) > MOST_ROWS}
        return Response(ExperiencesSerializer(told).data)


class DisableSerializer(ReasonedBody):
    """Which, and what becomes of the links that live."""

    slug = Text(max_length=_MAX_SLUG_CHARS, help_text="As clients ask for it; it need have no row yet.")
    close_links = serializers.BooleanField(default=False, help_text="End live links with 1001.")
    maintenance_message = Text(
        max_length=MOST_MESSAGE_CHARS,
        required=False,
        allow_blank=True,
        help_text="What clients are told from now on; left out: what they were told before.",
    )
    dry_run = serializers.BooleanField(default=False, help_text="Only say whom it would hit.")


class EnableSerializer(ReasonedBody):
    """Which."""

    slug = Text(max_length=_MAX_SLUG_CHARS)


class ChangeSerializer(ReasonedBody):
    """Which, and what is said of it from now on; what is left out stays as it is."""

    slug = Text(max_length=_MAX_SLUG_CHARS, help_text="As clients ask for it; it need have no row yet.")
    title = Text(max_length=128, required=False, allow_blank=True, help_text="For staff.")
    capacity = serializers.IntegerField(
        min_value=1,
        max_value=MOST_CAPACITY,
        required=False,
        allow_null=True,
        help_text="How many connections there may be at a time, over all nodes; null: any number.",
    )
    maintenance_message = Text(
        max_length=MOST_MESSAGE_CHARS,
        required=False,
        allow_blank=True,
        help_text="What clients are told while it is disabled.",
    )


class SwitchedSerializer(serializers.Serializer[Any]):
    """How it stands now."""

    experience = ExperienceSerializer()
    links = serializers.IntegerField(help_text="Its live links before.")
    is_bounded = serializers.BooleanField(help_text="There are more: counting stopped.")
    done = serializers.BooleanField(help_text="false: a dry run.")


class DisableExperience(StaffApiView):
    """Closes an experience for maintenance."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "experience.enable_experience"}

    @extend_schema(
        operation_id="disable_experience",
        request=DisableSerializer,
        responses={200: SwitchedSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Let nobody into an experience, on any node: clients get 503 `closed_for_maintenance`."""
        asked = self.read(DisableSerializer())
        _check_slug(asked["slug"])
        row = Experience.objects.filter(slug=asked["slug"]).first() or Experience(slug=asked["slug"])
        live = LiveLinks(topics([row]))
        if not asked["dry_run"]:
            message = asked.get("maintenance_message")
            ends, reason = asked["close_links"], asked["reason"]
            row = close(row.slug, message=message, ends_links=ends, reason=reason, by=self.caller.doer)
        return _switched(row, live, done=not asked["dry_run"])


class EnableExperience(StaffApiView):
    """Opens an experience again."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "experience.enable_experience"}

    @extend_schema(
        operation_id="enable_experience",
        request=EnableSerializer,
        responses={200: SwitchedSerializer, **PAGE_ERRORS, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Let clients into an experience again, on every node within two seconds."""
        asked = self.read(EnableSerializer())
        row = Experience.objects.filter(slug=asked["slug"]).first()
        if row is None:
            raise NotFound("nothing was said of such an experience: it is open")
        enable([row], reason=asked["reason"], by=self.caller.doer)
        return _switched(row, LiveLinks(topics([row])), done=True)


class ChangeExperience(StaffApiView):
    """Says what an experience is called, and how many have room."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "experience.change_experience"}

    @extend_schema(
        operation_id="change_experience",
        request=ChangeSerializer,
        responses={200: SwitchedSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Change what staff say of an experience; every node keeps to its capacity within two seconds."""
        asked = self.read(ChangeSerializer())
        slug, reason = asked.pop("slug"), asked.pop("reason")
        _check_slug(slug)
        if not asked:
            raise ParseError("say what is to change: title, capacity or maintenance_message")
        row = change(slug, asked, reason=reason, by=self.caller.doer)
        return _switched(row, LiveLinks(topics([row])), done=True)


def _switched(row: Experience, live: LiveLinks, *, done: bool) -> Response:
    return Response(SwitchedSerializer({"experience": row, **live.total._asdict(), "done": done}).data)


def _check_slug(slug: str) -> None:
    """Raises ParseError for what no client asks for as it stands."""
    try:
        is_slug(slug)
    except ValidationError as error:
        raise ParseError(f"slug: {error.message}") from None
