from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class ExperienceConfig(AppConfig):
    name = "experience"
    verbose_name = "Experience"

    def ready(self) -> None:
        for signal in (post_save, post_delete):
            signal.connect(_changed, sender="experience.Experience", dispatch_uid="experience.rules")


def _changed(**_: object) -> None:
    """Nodes hear of it, once it is committed."""
    from proxy.api import announce_topic_rules

    announce_topic_rules()
