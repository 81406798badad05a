"""`make run`: the gateway with everything it needs, on one machine, for development only.

    python -m config.dev                      start it all, until Ctrl-C
    python -m config.dev publish user:1 '{}'  any manage.py command, against what runs

Nothing in here is imported by the product: production has no development default to fall back to.
"""
