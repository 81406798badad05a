"""`python -m config.dev [manage.py arguments]`."""

import os
import signal
import sys
from pathlib import Path

from config.dev import environment, supervisor

BASE_DIR = Path(__file__).resolve().parent.parent.parent


def main(arguments: list[str]) -> int:
    var_dir = BASE_DIR / "var"
    if arguments:
        variables = environment.of_what_runs(os.environ, var_dir=var_dir)
        manage = str(BASE_DIR / "manage.py")
        os.execve(sys.executable, [sys.executable, manage, *arguments], variables)  # noqa: S606  our own command
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's `make run &` begins with it ignored
    return supervisor.run(os.environ, base_dir=BASE_DIR, var_dir=var_dir)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before the supervisor took over: there is nothing to end yet
        sys.exit(130)
