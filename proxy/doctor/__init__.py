"""What `manage.py doctor` looks at from this host. What to think of it is proxy/core/judging.py's."""
