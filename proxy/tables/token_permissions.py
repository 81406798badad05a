"""What the user of a token may do over the HTTP API: Django's permissions, given to that very user.

Who issues tokens names their users, and players may choose such names: nobody may come to the rights of the
staff by being called like them. So permissions of admin do not count here, nor does it to be a superuser:
only those whose name says that they are for tokens, given to a user or to a group of the user's.

A product has rights of its own by declaring such a permission at one of its models. In the app `chat`
`add_participant_by_token` is the right `chat.add_participant`, which an API key may have as well. So are
those for what staff see and do in admin: `view_refusal_by_token` is `proxy.view_refusal`.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps as every_app
from django.apps.registry import Apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import router
from django.db.models import Q, QuerySet

from proxy.core.rights import ANY, OF_STAFF, STAFFS_APP, Rights
from proxy.core.topics import EVERYONE
from proxy.models import ApiKey
from proxy.registry import topic_kinds
from proxy.tables.token_users import token_users

# Django's first migration of `auth` has room for less, and a `migrate proxy` may stop there.
_LONGEST_NAME = 255
_SUFFIX = "_by_token"
_KICK, _LIST, _REVOKE = f"kick{_SUFFIX}", f"list{_SUFFIX}", f"revoke{_SUFFIX}"


def rights_of_user(user_id: str) -> Rights:
    """What the active user whom tokens name so has been given; nothing where there is no such user."""
    users = token_users([user_id]).filter(is_active=True)
    found = _permissions().filter(Q(user__in=users) | Q(group__user__in=users))
    given = set(found.values_list("content_type__app_label", "codename"))
    ours = {codename for app, codename in given if app == ApiKey._meta.app_label}
    return Rights(
        publish=tuple(pattern for codename, pattern in _patterns().items() if codename in ours),
        kick=_KICK in ours,
        list_connections=_LIST in ours,
        revoke=_REVOKE in ours,
        others=tuple(sorted(_right(*each) for each in given if _is_other(*each))),
    )


def rights_of_staff(user: Any) -> Rights:
    """What somebody who is logged in to admin may do there, as far as the HTTP API has it: not publish."""
    permitted = frozenset(user.get_all_permissions())
    return Rights(
        kick=f"{STAFFS_APP}.kick_connection" in permitted,
        list_connections=f"{STAFFS_APP}.view_connection" in permitted,
        revoke=f"{STAFFS_APP}.revoke_tokens" in permitted,
        others=tuple(permitted),
    )


def other_rights() -> list[str]:
    """All that products have declared, (`chat.add_participant`), and what is staff's (`proxy.add_block`)."""
    declared = _permissions().values_list("content_type__app_label", "codename")
    return sorted(_right(*each) for each in declared if _is_other(*each))


def _is_other(app: str, codename: str) -> bool:
    """Whether it is none of those that keys have a column for."""
    return app != ApiKey._meta.app_label or codename.removesuffix(_SUFFIX) in OF_STAFF


def _permissions() -> QuerySet[Permission]:
    return Permission.objects.filter(codename__endswith=_SUFFIX).order_by()


def _right(app: str, codename: str) -> str:
    return f"{app}.{codename.removesuffix(_SUFFIX)}"


def make_permissions(using: str, apps: Apps = every_app, **_: Any) -> None:
    """Have one for each kind of topic that routes declare, after a `migrate`.

    That may have been of some apps only: `apps` are those whose tables are there by now.
    """
    if not {"auth", "contenttypes", "proxy"} <= {model._meta.app_label for model in apps.get_models()}:
        return
    room = apps.get_model("auth", "Permission")._meta.get_field("name").max_length
    if room is not None and room < _LONGEST_NAME:
        return
    if not router.allow_migrate_model(using, Permission):
        return
    kind = ContentType.objects.db_manager(using).get_for_model(ApiKey)
    made = [
        Permission(
            content_type=kind,
            codename=codename,
            name=f"Can publish to {pattern} over the HTTP API, by a token",
        )
        for codename, pattern in _patterns().items()
    ]
    Permission.objects.using(using).bulk_create(made, ignore_conflicts=True)


def _patterns() -> dict[str, str]:
    """What each permission to publish lets its owner publish to."""
    kinds = [kind.name for kind in topic_kinds() if not kind.is_internal]
    return {
        "publish_by_token": ANY,
        f"publish_{EVERYONE}_by_token": EVERYONE,
        **{f"publish_{kind}_by_token": f"{kind}:{ANY}" for kind in kinds},
    }
