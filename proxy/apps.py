from django.apps import AppConfig


class ProxyConfig(AppConfig):
    name = "proxy"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from proxy import checks, logins  # noqa: F401  importing registers them
        from proxy.rules import announce_changes

        announce_changes()
