"""What happens to one of Django's users takes the user's tokens back: REVOKE_ON says which changes do.

Django tells of what is saved and deleted one by one; `update()` and other programs tell nothing. Rows are
written in the transaction of the change itself: both hold, or neither does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import get_hasher, identify_hasher
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.utils import timezone

from proxy.cluster.rules import announce_on_commit
from proxy.models import Revocation
from proxy.tables.staff_notes import note_taken_back
from proxy.tables.token_users import token_user_id, token_user_ids

log = logging.getLogger(__name__)

SOURCE = "Django's users"
_STATUS = ("is_staff", "is_superuser")
_WATCHED = ("username", "password", "is_active", *_STATUS)
_ENDS = ((User, "user"), (Group, "group"), (Permission, "permission"))
_FOR_GOOD = frozenset({"deactivated", "deleted"})  # after which no login is expected
_ROWS_AT_ONCE = 500
_UID = "proxy.cluster.user_changes"


def revoke_on_changes() -> None:
    """From now on, in this process."""
    # Of any sender: what a proxy of Django's model saves is told of as the proxy's.
    pre_save.connect(_remember, dispatch_uid=_UID)
    post_save.connect(_on_saved, dispatch_uid=_UID)
    post_delete.connect(_on_deleted, dispatch_uid=_UID)
    pre_delete.connect(_on_group_deleted, dispatch_uid=_UID)
    m2m_changed.connect(_on_lost, sender=User.groups.through, dispatch_uid=_UID)
    m2m_changed.connect(_on_lost, sender=User.user_permissions.through, dispatch_uid=_UID)
    m2m_changed.connect(_on_group_lost, sender=Group.permissions.through, dispatch_uid=_UID)
    user_logged_out.connect(_on_logged_out, dispatch_uid=_UID)


def take_back(user_ids: Iterable[str], *, change: str, reason: str) -> None:
    """The tokens of these users, unless REVOKE_ON leaves `change` out.

    One row a user and reason is kept: who logs out again and again does not fill the table.
    """
    if change not in settings.REVOKE_ON:
        return
    before, rest = timezone.now(), iter(user_ids)
    if change not in _FOR_GOOD:
        # `iat` is in whole seconds: who gets a token with a new password, in one request, is to use it.
        before = before.replace(microsecond=0)
    count, first = 0, list[str]()
    with transaction.atomic():
        while some := list(islice(rest, _ROWS_AT_ONCE)):
            earlier = Revocation.objects.filter(user_id__in=some, source=SOURCE, reason=reason)
            earlier.filter(issued_before__lte=before).delete()  # not what a host whose clock is ahead wrote
            Revocation.objects.bulk_create(
                Revocation(user_id=user_id, issued_before=before, reason=reason, source=SOURCE)
                for user_id in some
            )
            note_taken_back(some, reason=reason, by=SOURCE)
            count, first = count + len(some), first or some[:20]
        if count:
            fields = {"users": first, "users_in_all": count, "reason": reason, "by": SOURCE}
            transaction.on_commit(partial(log.info, "tokens revoked", extra=fields))
            announce_on_commit()


def _remember(
    instance: Any, *, raw: bool, using: str, update_fields: frozenset[str] | None, **_: Any
) -> None:
    """What it is before it is saved, if that may matter: a login writes one field of no interest."""
    if not isinstance(instance, User):
        return
    is_of_interest = update_fields is None or not update_fields.isdisjoint(_WATCHED)
    was = None
    if is_of_interest and not raw and instance.pk is not None:  # which may be new, or was never read
        was = User._base_manager.using(using).filter(pk=instance.pk).first()
    instance._gateway_was = was  # type: ignore[attr-defined]


def _on_saved(instance: Any, *, update_fields: frozenset[str] | None, **_: Any) -> None:
    was: User | None = instance.__dict__.pop("_gateway_was", None) if isinstance(instance, User) else None
    if was is None:
        return
    names = [token_user_id(was)]
    saved = [name for name in _WATCHED if update_fields is None or name in update_fields]
    if token_user_id(instance) not in names and "username" in saved:
        take_back(names, change="deleted", reason="renamed")
    if "is_active" in saved and was.is_active and not instance.is_active:
        take_back(names, change="deactivated", reason="no longer active")
    if was.password != instance.password and "password" in saved and not _is_same(was, instance, saved):
        take_back(names, change="password", reason="password changed")
    if any(getattr(was, name) and not getattr(instance, name) for name in saved if name in _STATUS):
        take_back(names, change="permission", reason="lost a permission")


def _is_same(was: User, user: User, saved: list[str]) -> bool:
    """Whether it is the same password, hashed anew at a login, since its hash was out of date.

    `check_password` of Django's users saves it alone, and not as one that was set.
    """
    was_set = user._password is not None  # type: ignore[attr-defined]  # Django's own mark of it
    if saved != ["password"] or was_set or not user.has_usable_password():
        return False
    preferred = get_hasher()
    try:
        hasher = identify_hasher(was.password)
    except ValueError:
        return False
    return hasher.algorithm != preferred.algorithm or preferred.must_update(was.password)


def _on_deleted(instance: Any, **_: Any) -> None:
    if isinstance(instance, User):
        take_back([token_user_id(instance)], change="deleted", reason="deleted")


def _on_logged_out(user: User | None, **_: Any) -> None:
    if user is not None:
        take_back([token_user_id(user)], change="logout", reason="logged out")


def _on_group_deleted(instance: Any, **_: Any) -> None:
    if isinstance(instance, Group):
        _lost(User.objects.filter(groups=instance))


def _on_lost(instance: Any, *, action: str, reverse: bool, pk_set: Any, sender: Any, **_: Any) -> None:
    """A user and a group, or a permission, part; from whichever end that was done."""
    if action == "post_remove":
        _lost(User.objects.filter(pk__in=pk_set if reverse else [instance.pk]))
    elif action == "pre_clear":
        end = next(name for kind, name in _ENDS if isinstance(instance, kind))  # be it a proxy of it
        pairs = sender.objects.filter(**{end: instance.pk})
        _lost(User.objects.filter(pk__in=pairs.values("user")))


def _on_group_lost(instance: Any, *, action: str, reverse: bool, pk_set: Any, **_: Any) -> None:
    """A group and a permission part."""
    if action == "post_remove":
        _lost(User.objects.filter(groups__in=pk_set if reverse else [instance.pk]))
    elif action == "pre_clear":
        had = {"groups__permissions": instance} if reverse else {"groups": instance}
        _lost(User.objects.filter(**had))


def _lost(users: QuerySet[User]) -> None:
    if "permission" in settings.REVOKE_ON:
        take_back(token_user_ids(users), change="permission", reason="lost a permission")
