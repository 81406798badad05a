"""A day of two nodes, minute by minute, for charts. Played by `manage.py shell`; the same each time."""

import math
import time

from proxy.core.samples import Sample
from proxy.tables import minutes

SECONDS = 60
NOW = int(time.time()) // SECONDS * SECONDS
DAY = 24 * 60


def shaken(number: int, *, by: int) -> int:
    """0 to by - 1, without a pattern that one would see."""
    return (number * 7919 + number * number * 31) % 104_729 % by


def of(ago: int) -> Sample:
    """The minute that began so many minutes ago: quiet at night, most in the evening."""
    tide = 0.6 + 0.4 * math.cos(2 * math.pi * (ago - 300) / DAY)
    experience, studio = (int(tide * most) + shaken(ago, by=3) for most in (28, 10))
    opens = {
        "experience": 1 + int(tide * 8) + shaken(ago, by=2),
        "studio": int(tide * 3) + shaken(ago + 5, by=2),
    }
    dials = [0, 0, opens["experience"], opens["studio"], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    dials[7] = 3 if 300 < ago < 330 else 0
    return Sample(
        at=NOW - ago * SECONDS,
        seconds=SECONDS,
        links={"experience": experience, "studio": studio},
        opens=opens,
        closes={"client_left": int(tide * 8) + shaken(ago + 1, by=2), "idle": 1 + int(tide * 2)}
        | ({"service_lost": 4} if ago == 310 else {}),
        refusals={"token_expired": int(tide * 1.6)} | ({"no_healthy_member": 5} if 308 < ago < 314 else {}),
        messages_in=int(tide * 1_900),
        messages_out=int(tide * 2_600),
        bytes_in=int(tide * 160_000),
        bytes_out=int(tide * 420_000),
        dials=tuple(dials),
        loop_lag_seconds=0.002 + shaken(ago, by=9) / 2000,
        resident_bytes=230 << 20,
    )


minutes.write(of(ago) for ago in range(DAY - 1, 1, -1))
