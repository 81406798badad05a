#!/usr/bin/env python
"""Django's command line for Sluicegate."""

import os
import sys


def main() -> None:
    testing = sys.argv[1:2] == ["test"]
    os.environ.setdefault(
        "DJANGO_SETTINGS_MODULE", "config.testing.settings" if testing else "config.settings"
    )
    if sys.argv[1:2] == ["serve"]:
        # Before Django loads its applications: Daphne's makes the event loop as it is imported.
        from proxy.server.listening import install_uvloop

        install_uvloop()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
