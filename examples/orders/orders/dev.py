"""What `make run` starts beside the gateway. Nothing here may need Django."""

SERVICES = "ORDERS_URLS = python -m orders.service --port {port}"
