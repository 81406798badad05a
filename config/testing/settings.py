"""Settings of the test process: the product's own, with nothing taken from the developer's environment."""

import os

# A shell that points at real stores or services must not lend them to tests.
for _name in (
    "ROUTES",
    "EXTRA_APPS",
    "BODY_PATHS",
    "DATABASE_URL",
    "REDIS_URL",
    "KB_SERVICE_URL",
    "STUDIO_WS_URLS",
    "TRUSTED_PROXIES",
    "ALLOWED_ORIGINS",
    "JWT_ALGORITHM",
    "JWT_SIGNING_KEY",
    "JWT_VERIFYING_KEY",
    "JWT_JWKS_URL",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "JWT_LEEWAY_SECONDS",
    "JWT_USER_ID_CLAIM",
):
    os.environ.pop(_name, None)
    os.environ.pop(f"{_name}_FILE", None)
os.environ["DEBUG"] = "false"
os.environ["SECRET_KEY"] = "only-for-tests-" + "0123456789abcdef" * 4
os.environ.pop("SECRET_KEY_FILE", None)

from config.settings import *  # noqa: E402, F403

TEST_RUNNER = "config.testing.runner.PytestRunner"
# In memory also under pytest-xdist, which would else put a worker's name behind the path of a file.
DATABASES["default"]["TEST"] = {"NAME": ":memory:"}  # noqa: F405
