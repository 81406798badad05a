"""How the database finds what a query asks for."""

from __future__ import annotations

import re

from django.db import connection


def explained(sql: str) -> str:
    """In the database's own words, a step a line."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{sql}")
        return "\n".join(str(row) for row in cursor.fetchall())


def reads_all_of(table: str, plan: str) -> bool:
    """Whether it goes through the whole table, by no index."""
    return re.search(rf"Seq Scan on {table}|SCAN {table}(?! USING)", plan) is not None
