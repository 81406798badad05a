from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "experience.chat"
    label = "chat"
    verbose_name = "Chat"
