#!/usr/bin/env python
"""Django's command line for Sluicegate."""

import os
import sys

ON_OUR_SERVER = ("serve", "chatservice")
SERVICES = ("serve", "kbservice", "studioservice", "chatservice")


def main() -> None:
    testing = sys.argv[1:2] == ["test"]
    os.environ.setdefault(
        "DJANGO_SETTINGS_MODULE", "config.testing.settings" if testing else "config.settings"
    )
    # As LOG_FORMAT is read later; a wrong one is told in JSON.
    if (
        sys.argv[1:2]
        and sys.argv[1] in SERVICES
        and os.environ.get("LOG_FORMAT", "").strip().lower() != "console"
    ):
        from config.streams import speak_json

        speak_json()
    if sys.argv[1:2] == ["doctor"]:
        from proxy.env import env

        env.go_on()  # it says all that is wrong
    if sys.argv[1:2] and sys.argv[1] in ON_OUR_SERVER:
        # Before Django loads its applications: Daphne's makes the event loop as it is imported.
        from proxy.server.listening import install_uvloop

        install_uvloop()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
