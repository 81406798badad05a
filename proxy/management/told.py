"""Rows of the record as commands tell them to programs: every column by its name (docs/commands.md)."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.utils import timezone

from proxy.core.causes import refused_words_of, words_of
from proxy.models import Block, Connection, Refusal


def told_row(row: Model) -> dict[str, Any]:
    """Each column by its name; one that leads to another row has that row's id, as `node_id`."""
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def told_connection(row: Connection) -> dict[str, Any]:
    """With its cause in words, "" while it is live."""
    return told_row(row) | {"words": words_of(row.cause)}


def told_refusal(row: Refusal) -> dict[str, Any]:
    """With its cause in words."""
    return told_row(row) | {"words": refused_words_of(row.cause)}


def told_block(row: Block) -> dict[str, Any]:
    """With whether it holds now, and who placed it: a name, "" where nobody knows."""
    told = told_row(row) | {"by": row.source_name, "holds": holds(row)}
    del told["created_by_id"], told["source"]
    return told


def holds(row: Block) -> bool:
    return row.until is None or row.until > timezone.now()
