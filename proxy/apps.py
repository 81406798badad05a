from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ProxyConfig(AppConfig):
    name = "proxy"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from proxy import checks  # noqa: F401  importing registers them
        from proxy.admin import logins  # noqa: F401  importing registers them
        from proxy.cluster.rules import announce_changes
        from proxy.cluster.user_changes import revoke_on_changes
        from proxy.http import cors  # noqa: F401  importing connects it
        from proxy.tables.token_permissions import make_permissions

        announce_changes()
        revoke_on_changes()
        post_migrate.connect(make_permissions, sender=self)
