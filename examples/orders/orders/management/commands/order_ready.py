"""`manage.py order_ready SHOP NUMBER`: tell everybody in the shop that an order can be fetched."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from orders.routes import SHOP
from proxy.api import publish_on_commit


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("shop")
        parser.add_argument("number", type=int)

    def handle(self, *args: Any, shop: str, number: int, **options: Any) -> None:
        publish_on_commit(SHOP(shop), {"type": "order.ready", "number": number})
