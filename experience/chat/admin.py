"""Conversations, who takes part, what was said and who is blocked: for staff. docs/chat.md tells them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode

from experience.chat import membership
from experience.chat.admin_pages import (
    ConversationFilter,
    ToldAdmin,
    conversation_link,
    exact,
    lines,
    user_id,
)
from experience.chat.identities import message_id
from experience.chat.models import Block, Conversation, Message, Participant
from proxy.api import ReadOnlyAdmin, foreign, foreign_field, moment

NAMED_IN_LIST, NAMED_ON_PAGE, SAID_ON_PAGE = 5, 100, 50
SEE_PARTICIPANTS, SEE_MESSAGES = "chat.view_participant", "chat.view_message"
# What of a conversation needs more than to see that it is there.
_NEEDED = {"who": SEE_PARTICIPANTS, "taking_part": SEE_PARTICIPANTS, "latest": SEE_MESSAGES}


class NewConversation(forms.ModelForm):  # type: ignore[type-arg]
    """Whose it is, and who else takes part."""

    created_by = forms.CharField(
        label="Made by", max_length=255, validators=[user_id], help_text="May have others take part."
    )
    others = forms.CharField(widget=forms.Textarea(attrs={"rows": 4}), help_text="User ids, one a line.")

    class Meta:
        model = Conversation
        fields = ["created_by"]

    def clean_others(self) -> list[str]:
        lines = [line.strip() for line in self.cleaned_data["others"].splitlines() if line.strip()]
        for line in lines:
            user_id(line)
        return lines


@admin.register(Conversation)
class ConversationAdmin(ToldAdmin):
    """Made and deleted as a whole; services hear of either."""

    list_display = ["id", "who", "said", "made_by", "since"]
    sortable_by = ["since"]
    search_fields = ["id"]  # get_search_results decides; this only shows the box
    search_help_text = "A whole id, or the whole user id of somebody who takes part."
    fields = ["id", "made_by", "since", "taking_part", "latest"]
    added_by, added_fields = NewConversation, ["created_by", "others"]
    made_by = foreign_field("created_by", "Made by")

    def get_queryset(self, request: HttpRequest) -> Any:
        of_one = Participant.objects.filter(conversation_id=OuterRef("pk")).order_by()
        newest = Message.objects.filter(conversation_id=OuterRef("pk")).order_by("-sequence")
        some = Participant.objects.order_by("user_id")[:NAMED_IN_LIST]
        counted = of_one.values("conversation_id").annotate(counted=Count("pk")).values("counted")
        return (
            super()
            .get_queryset(request)
            .annotate(
                users=Subquery(counted, output_field=IntegerField()),
                last=Subquery(newest.values("sequence")[:1], output_field=IntegerField()),
            )
            .prefetch_related(Prefetch("participants", queryset=some, to_attr="some"))
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if not request.user.has_perm(SEE_PARTICIPANTS):
            return queryset.filter(pk=term), False
        theirs = Participant.objects.filter(user_id=term).order_by().values("conversation_id")
        return queryset.filter(Q(pk=term) | Q(pk__in=theirs)), False

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._seen(request, self.list_display)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        return fields if obj is None else self._seen(request, fields)

    def _seen(self, request: HttpRequest, names: Iterable[Any]) -> list[Any]:
        """Those of what is shown here that this one of staff may see."""
        return [name for name in names if name not in _NEEDED or request.user.has_perm(_NEEDED[name])]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.pk, _ = membership.make(obj.created_by, form.cleaned_data["others"])

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        membership.delete(obj.pk)

    @admin.display(description="Participants")
    def who(self, conversation: Any) -> str:
        more = (conversation.users or 0) - len(conversation.some)
        names = format_html_join("", "{}", ((foreign(each.user_id),) for each in conversation.some))
        return format_html("{} and {} more", names, more) if more > 0 else names or "-"

    @admin.display(description="Messages")
    def said(self, conversation: Any) -> str:
        return f"{conversation.last or 0:,}"

    @admin.display(description="Made", ordering="created_at")
    def since(self, conversation: Conversation) -> str:
        return moment(conversation.created_at)

    @admin.display(description="Participants")
    def taking_part(self, conversation: Any) -> str:
        """As many as a page can show; the list has all."""
        rows = Participant.objects.filter(conversation=conversation).order_by("user_id")[:NAMED_ON_PAGE]
        names = format_html_join(", ", "{}", ((foreign(row.user_id),) for row in rows))
        return format_html(
            "<p>{}</p>{}", names, _all_of(conversation, "participant", conversation.users or 0)
        )

    @admin.display(description="Latest messages")
    def latest(self, conversation: Any) -> str:
        """The last ones, the newest first; the list has all, page by page."""
        rows = Message.objects.filter(conversation=conversation).order_by("-sequence")[:SAID_ON_PAGE]
        shown = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td><div tabindex='0'>{}</div></td><td>{}</td></tr>",
            ((row.sequence, foreign(row.sender_id), lines(row.text), moment(row.created_at)) for row in rows),
        )
        table = format_html('<table class="chat-latest"><tbody>{}</tbody></table>', shown)
        return format_html("{}{}", table, _all_of(conversation, "message", conversation.last or 0))


def _all_of(conversation: Conversation, kind: str, count: int) -> str:
    """A link to the list of them."""
    where = reverse(f"admin:chat_{kind}_changelist") + "?" + urlencode({"conversation": conversation.pk})
    return format_html('<a href="{}">All {} {}s</a>', where, f"{count:,}", kind)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """Nobody changes or deletes one: numbers have no gap, and services would look for what is missing."""

    class Media:
        css = {"all": ["chat/admin.css"]}

    list_display = ["named", "sender", "said", "sent"]
    list_filter = [ConversationFilter]
    search_fields = ["pk"]
    search_help_text = (
        "A whole message id, or that of a conversation. A message is not deleted by itself, since numbers "
        "have no gap; a conversation is, as a whole."
    )
    fields = ["named", "place", "sender", "whole", "sent"]
    sender = foreign_field("sender_id", "Sender")
    said = foreign_field("text", "Text")

    def get_ordering(self, request: HttpRequest) -> Any:
        """By an index, whatever is asked for."""
        return ["-sequence"] if ConversationFilter.parameter_name in request.GET else ["-pk"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        conversation, _, number = search_term.strip().rpartition(".")
        if conversation and number.isdecimal() and len(number) < 19:
            return queryset.filter(conversation_id=conversation, sequence=int(number)), False
        return exact(queryset, "conversation_id", search_term), False

    @admin.display(description="Message")
    def named(self, message: Message) -> str:
        return message_id(message.conversation_id, message.sequence)

    @admin.display(description="Conversation")
    def place(self, message: Message) -> str:
        return conversation_link(message.conversation_id)

    @admin.display(description="Text")
    def whole(self, message: Message) -> str:
        return lines(message.text)

    @admin.display(description="Sent")
    def sent(self, message: Message) -> str:
        return moment(message.created_at)


class NewParticipant(forms.ModelForm):  # type: ignore[type-arg]
    """Who takes part from now on, and where."""

    where = forms.CharField(label="Conversation", max_length=32, help_text="Its whole id.")
    user_id = forms.CharField(label="User", max_length=255, validators=[user_id])

    class Meta:
        model = Participant
        fields = ["user_id"]

    def clean_where(self) -> str:
        conversation: str = self.cleaned_data["where"]
        if not Conversation.objects.filter(pk=conversation).exists():
            raise forms.ValidationError("There is no such conversation.")
        return conversation


@admin.register(Participant)
class ParticipantAdmin(ToldAdmin):
    """One added is a user who joins, one deleted one who leaves; services hear of either."""

    list_display = ["who", "place", "since", "read"]
    list_filter = [ConversationFilter]
    search_fields = ["user_id"]
    search_help_text = "A whole user id."
    ordering = ["-pk"]
    fields = ["who", "place", "since", "read"]
    added_by, added_fields = NewParticipant, ["where", "user_id"]
    who = foreign_field("user_id", "User")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return exact(queryset, "user_id", search_term), False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.conversation_id = form.cleaned_data["where"]
        membership.join(obj.conversation_id, obj.user_id)
        obj.pk = Participant.objects.get(conversation_id=obj.conversation_id, user_id=obj.user_id).pk

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        membership.leave(obj.conversation_id, obj.user_id)

    @admin.display(description="Conversation")
    def place(self, participant: Participant) -> str:
        return conversation_link(participant.conversation_id)

    @admin.display(description="Joined")
    def since(self, participant: Participant) -> str:
        return moment(participant.joined_at)

    @admin.display(description="Read up to")
    def read(self, participant: Participant) -> str:
        if not participant.read_sequence:
            return "-"
        return format_html("message {}, {}", participant.read_sequence, moment(participant.read_at))


class NewBlock(forms.ModelForm):  # type: ignore[type-arg]
    """Who blocks whom."""

    by_user_id = forms.CharField(label="By", max_length=255, validators=[user_id])
    target_user_id = forms.CharField(label="Whom", max_length=255, validators=[user_id])

    class Meta:
        model = Block
        fields = ["by_user_id", "target_user_id"]


@admin.register(Block)
class BlockAdmin(ToldAdmin):
    """Of users by users; services hear of one that is added or deleted."""

    list_display = ["whom", "by", "since"]
    search_fields = ["by_user_id"]
    search_help_text = "A whole user id, of either."
    fields = ["whom", "by", "since"]
    added_by, added_fields = NewBlock, ["by_user_id", "target_user_id"]
    whom = foreign_field("target_user_id", "Whom")
    by = foreign_field("by_user_id", "By")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        either = Q(by_user_id=term) | Q(target_user_id=term)
        return queryset.filter(either) if term else queryset, False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        membership.block(obj.by_user_id, obj.target_user_id)
        obj.pk = Block.objects.get(by_user_id=obj.by_user_id, target_user_id=obj.target_user_id).pk

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        membership.unblock(obj.by_user_id, obj.target_user_id)

    @admin.display(description="Since")
    def since(self, block: Block) -> str:
        return moment(block.created_at)
