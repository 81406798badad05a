"""The form of a block: how long it lasts is chosen, or a time is given."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from proxy.admin.pages import name_date_and_time
from proxy.models import Block

_HOUR, _DAY, _FOR_GOOD, _TIME = "hour", "day", "good", "time"
_UNTIL_THEN = "until the time below"
_SPANS = {_HOUR: timedelta(hours=1), _DAY: timedelta(days=1)}


class BlockForm(forms.ModelForm):  # type: ignore[type-arg]
    """`lasts` decides what `until` is; without it `until` stands as it was given."""

    lasts = forms.ChoiceField(
        choices=[
            (_HOUR, "an hour"),
            (_DAY, "a day"),
            (_FOR_GOOD, "for good"),
            (_TIME, _UNTIL_THEN),
        ],
        widget=forms.RadioSelect,
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "user_id" in self.fields:  # an id may end with a blank, and is another's without
            self.fields["user_id"].strip = False  # type: ignore[attr-defined]
        if "until" in self.fields:  # not for who may only look
            self.fields["lasts"].initial = _TIME if self.instance.until else _FOR_GOOD
            self.fields["until"].help_text = f"Taken where it lasts “{_UNTIL_THEN}” alone."
            name_date_and_time(self.fields["until"], "Until")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        lasts = cleaned.get("lasts")
        if lasts and lasts != _TIME:
            self.errors.pop("until", None)  # nobody is shown what was typed there before
        if lasts in _SPANS:
            cleaned["until"] = timezone.now() + _SPANS[lasts]
        elif lasts == _FOR_GOOD:
            cleaned["until"] = None
        elif lasts == _TIME and not cleaned.get("until") and "until" not in self.errors:
            self.add_error("until", ValidationError("Say until when."))
        return cleaned

    class Meta:
        model = Block
        fields = ("user_id", "network", "until", "reason")
