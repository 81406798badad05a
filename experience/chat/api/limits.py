"""What all of these paths have in common."""

from __future__ import annotations

from experience.settings import CHAT_CHANGE_RATE_PER_USER
from proxy.api import BODY_ERRORS, ERRORS, UserRate

# Conversations made, joined and left, blocks: each is told to services, and to participants.
CHANGES = UserRate(lambda: CHAT_CHANGE_RATE_PER_USER)
_ERROR = ERRORS[400]
MADE = {**BODY_ERRORS, 409: _ERROR}
GONE = {**ERRORS, 404: _ERROR}
