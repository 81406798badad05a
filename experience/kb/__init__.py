"""The game route, and a reference knowledge-base (KB) service to run and to test against."""
