"""What only tests need: their settings, the pytest runner, real servers."""
