"""System checks: what starts, but should not be left so. Ids are stable (SILENCED_SYSTEM_CHECKS).

`manage.py check` asks those that are not for deployments, `manage.py check --deploy` all of them, and so does
`serve` without DEBUG. docs/settings.md has the table.
"""

from proxy.checks import doors, routing, running, tokens  # noqa: F401  importing registers them
