"""The whole suite's fixtures: see config/testing/plugin.py."""

pytest_plugins = ["config.testing.plugin"]
