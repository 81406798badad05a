"""An app of EXTRA_APPS with a page that takes a body."""
