"""RabbitMQ as Debian has it, from `rabbitmq-server`; its own epmd ends with it, and all is on loopback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from config.testing.program import free_port
from config.testing.servers import Server

BIN = Path("/usr/lib/rabbitmq/bin")
COMMAND_SECONDS = 60

# `.ci/run` installs it, and there it may not be left out.
needs_rabbitmq = pytest.mark.skipif(
    not (BIN / "rabbitmq-server").exists() and os.environ.get("CI") != "true",
    reason="needs apt-get install rabbitmq-server",
)


class RabbitMQServer(Server):
    """RabbitMQ without plugins. Durable queues and their persistent messages outlive it."""

    name = "rabbitmq"
    ready = r"completed with \d+ plugins"
    start_seconds = 80.0  # a second processor helps it a lot

    def __init__(self, directory: Path, *, configuration: str = "") -> None:
        """`configuration`: further lines of `rabbitmq.conf`."""
        super().__init__(directory)
        self._configuration = configuration
        self._epmd_port = self._dist_port = 0

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        self._epmd_port, self._dist_port = free_port(), free_port()
        self.directory.mkdir(exist_ok=True)
        (self.directory / "plugins").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(f"log.console.level = warning\n{self._configuration}")
        # epmd would be a daemon of its own session: here it is of the program's, and is killed with it.
        epmd = f"epmd -address 127.0.0.1 -port {self._epmd_port} & "
        return ["sh", "-c", f"{epmd}{BIN}/rabbitmq-server; echo rabbitmq-server has ended"]

    def env(self) -> Mapping[str, str]:
        local = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "HOME": f"{self.directory}",
            "ERL_EPMD_PORT": f"{self._epmd_port}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": f"{self.port}",
            "RABBITMQ_DIST_PORT": f"{self._dist_port}",
            "RABBITMQ_MNESIA_BASE": f"{self.directory}/mnesia",
            "RABBITMQ_LOG_BASE": f"{self.directory}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONF_ENV_FILE": f"{self.directory}/no-rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": f"{self.directory}/rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.directory}/plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{self.directory}/generated",
            "RABBITMQ_PID_FILE": f"{self.directory}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{local} +S 1:1 +sbwt none",
        }

    def stop(self) -> None:
        """End it in order: queues write what they hold."""
        if self.running:
            assert self.program is not None
            self.ctl("stop", str(self.directory / "pid"))
            self.program.wait_for_exit(within_seconds=COMMAND_SECONDS)
            self.program.kill()  # epmd

    def freeze(self) -> None:
        raise NotImplementedError("the process that serves is a child of a shell's")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{self.address}"

    def ctl(self, *words: str) -> str:
        """What `rabbitmqctl WORDS` prints; it takes two seconds."""
        done = subprocess.run(
            [BIN / "rabbitmqctl", "--quiet", *words],
            env={"PATH": os.environ["PATH"], **self.env()},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout
