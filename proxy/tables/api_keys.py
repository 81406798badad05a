"""API keys: made, found by what a caller shows, taken back. Of each the table keeps no more than a hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import timedelta
from typing import Any

from django.contrib.admin.models import ADDITION
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from proxy.core.human import is_printable
from proxy.core.rights import Rights, check_pattern
from proxy.models import ApiKey
from proxy.registry import topic_kinds
from proxy.tables.deeds import Details, note_deed
from proxy.tables.token_permissions import other_rights

# It says what it is to who finds one where it should not be; the id is no secret, and stands in logs.
_KEY = re.compile(r"sluicegate_([0-9a-f]{12})_([\w-]{43})", re.ASCII)
# A key that is used all the time writes its row once in so long.
_NOTED_EVERY = timedelta(minutes=1)


@transaction.atomic
def issue(name: str, rights: Rights, *, by: Any, reason: str = "") -> str:
    """A new key, which nobody can read again; one deed of `by`'s. Raises ValueError: see `make`."""
    shown = make(name, rights)
    row = ApiKey.objects.get(pk=shown.split("_")[1])
    said = f"Issued, to {_in_words(rights)}" + (f": {reason}" if reason else "")
    details = Details(flag=ADDITION, reason=reason)
    note_deed(by, ApiKey, said, about=str(row), object_id=row.pk, details=details)
    return shown


def make(name: str, rights: Rights) -> str:
    """A new key, which nobody has noted. Raises ValueError: a pattern, a right or the name is none."""
    if not is_printable(name) or not 0 < len(name) <= ApiKey.MAX_NAME_CHARS:
        raise ValueError(f"a key's name is a printable text of 1 to {ApiKey.MAX_NAME_CHARS} characters")
    kinds = topic_kinds()
    publish = [check_pattern(pattern, kinds) for pattern in rights.publish]
    _check_others(rights)
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    ApiKey.objects.create(
        id=key_id,
        name=name,
        digest=_digest(secret),
        publish=publish,
        may_kick=rights.kick,
        may_list_connections=rights.list_connections,
        may_revoke=rights.revoke,
        other_rights=sorted(set(rights.others)),
    )
    return f"sluicegate_{key_id}_{secret}"


def looks_like_one(shown: str) -> bool:
    """Whether it is written as a key, valid or not."""
    return _KEY.fullmatch(shown) is not None


def find(shown: str) -> ApiKey | None:
    """The key that somebody shows; None if it is none, or is revoked. What cannot be one asks no database."""
    parts = _KEY.fullmatch(shown)
    key = ApiKey.objects.filter(pk=parts[1], revoked_at=None).first() if parts else None
    if key is None or parts is None or not hmac.compare_digest(key.digest, _digest(parts[2])):
        return None
    _note_use(key)
    return key


def rights_of(key: ApiKey) -> Rights:
    """What its row grants."""
    return Rights(
        publish=tuple(key.publish),
        kick=key.may_kick,
        list_connections=key.may_list_connections,
        revoke=key.may_revoke,
        others=tuple(key.other_rights),
    )


def _in_words(rights: Rights) -> str:
    given = {"kick": rights.kick, "list connections": rights.list_connections, "revoke": rights.revoke}
    publish = [f"publish to {', '.join(rights.publish)}"] if rights.publish else []
    others = [f"do what needs {right}" for right in rights.others]
    return "; ".join([*publish, *(may for may, is_given in given.items() if is_given), *others])


def _check_others(rights: Rights) -> None:
    """Raises ValueError for what nobody has declared."""
    known = other_rights() if rights.others else []
    strange = sorted(set(rights.others) - set(known))
    if strange:
        raise ValueError(f"there is no such right: {strange[0]!r}; there are: {', '.join(known) or 'none'}")


def _digest(secret: str) -> str:
    """Of 256 random bits, which nobody guesses: a slow hash would cost every request, and protect nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _note_use(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > _NOTED_EVERY:
        not_since = Q(last_used_at=None) | Q(last_used_at__lt=now - _NOTED_EVERY)
        ApiKey.objects.filter(not_since, pk=key.pk).update(last_used_at=now)
