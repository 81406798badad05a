"""The cases of RFC 6455 and 7692, numbered as the Autobahn test suite does, for every way that they flow."""
