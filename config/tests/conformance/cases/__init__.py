"""The table: all cases, one module for each of Autobahn's chapters."""

from __future__ import annotations

from config.tests.conformance.case import Case
from config.tests.conformance.cases import closing, framing, limits, utf8

ALL: tuple[Case, ...] = (*framing.CASES, *utf8.CASES, *closing.CASES, *limits.CASES)
