"""`make chaos`: what a team runs, under 300 clients, with each part killed and frozen in turn.

Two gateways, the nginx of docker-compose.yml, PostgreSQL, Valkey, NATS with JetStream, and a service
that sends back what it gets, on sockets and over HTTP. Every client numbers what it sends and checks each
answer; agents of sessions number what they say, publishers their events and changes. docs/operations.md says
what is promised of all of it.
"""
