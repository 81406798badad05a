"""Which of Django's users a token belongs to: the one whose JWT_USER_FIELD is its user id."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet

# As `str` writes what a primary key of ours can be: 07 is nobody.
_PK = re.compile(r"[1-9][0-9]{0,17}")


def token_user_id(user: User) -> str:
    """The user id in tokens of `user`."""
    return str(user.pk if settings.JWT_USER_FIELD == "pk" else user.username)


def token_user_ids(users: QuerySet[User]) -> list[str]:
    """Those in tokens of `users`."""
    return [str(each) for each in users.order_by().values_list(settings.JWT_USER_FIELD, flat=True).distinct()]


def token_users(user_ids: Iterable[str]) -> QuerySet[User]:
    """The users whom tokens name so."""
    if settings.JWT_USER_FIELD == "pk":
        return User.objects.filter(pk__in=[int(each) for each in user_ids if _PK.fullmatch(each)])
    return User.objects.filter(username__in=list(user_ids))
