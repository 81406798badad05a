from django.apps import AppConfig


class ProxyConfig(AppConfig):
    name = "proxy"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from proxy import checks  # noqa: F401  importing registers them
        from proxy.admin import logins  # noqa: F401  importing registers them
        from proxy.cluster.rules import announce_changes

        announce_changes()
