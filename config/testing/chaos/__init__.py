"""`make chaos`: what a team runs, under 300 clients, with each part killed and frozen in turn.

Two gateways, nginx as deploy/nginx.conf sets it up, PostgreSQL, Valkey and a service that sends back what it
gets. Every client numbers what it sends and checks each answer; a publisher numbers events. Whatever fails,
nothing may be doubled or reordered, nothing may be lost but what was in flight on a link that ended, and all
must be well again in time.
"""
