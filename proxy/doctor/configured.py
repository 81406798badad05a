"""What settings say, before anything is connected to: wrong values, and what `manage.py check` says."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage

from proxy import registry
from proxy.core.findings import Finding, failed, ok, warning
from proxy.doctor.trial import why
from proxy.env import SettingError, env

PART = "settings"
_NO_HINT = "docs.djangoproject.com/en/5.2/ref/checks/ has more on it."
# What the doctor looks at itself.
_LOOKED_AT = frozenset({"gateway.W019", "gateway.E004"})


def load_routes() -> str:
    """Import what ROUTES names; why that fails, "" if it does not. A wrong setting is in `env.wrong` then."""
    try:
        registry.routes()
    except SettingError as error:
        env.amiss(error, None)
    except Exception as error:  # noqa: BLE001  a product's module may raise anything
        return why(error)
    return ""


def judged(*, routes_fail: str) -> Sequence[Finding]:
    """What settings say; it may take a second, and waits for nobody. `routes_fail`: `load_routes`' answer."""
    wrong = [
        failed(PART, line, "docs/settings.md says what each takes.") for line in (env.wrong or {}).values()
    ]
    if routes_fail:
        hint = "The module that ROUTES names fails as it is imported: `manage.py check` has the traceback."
        wrong.append(failed("routes", routes_fail, hint))
    if wrong:
        return wrong  # checks would judge defaults in their place
    told = [each for each in _asked() if each.id not in _LOOKED_AT and each.level >= checks.WARNING]
    return [_finding(each) for each in told] or [ok(PART, f"{len(env.defaults)} are read, nothing is amiss")]


def _asked() -> list[CheckMessage]:
    found = checks.run_checks(include_deployment_checks=not settings.DEBUG)
    return [each for each in found if not each.is_silenced()]


def _finding(message: CheckMessage) -> Finding:
    seen, hint = f"({message.id}) {message.msg}", message.hint or _NO_HINT
    return failed(PART, seen, hint) if message.is_serious() else warning(PART, seen, hint)
