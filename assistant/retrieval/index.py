"""Indexes: build, open, search, list, verify, delete. The one door to what lies in `indexes/`."""

from __future__ import annotations

from assistant.retrieval.building import BuildProgress, BuildReport, build_index
from assistant.retrieval.manifest import Manifest
from assistant.retrieval.opened import DemonstrationIndex, index_names
from assistant.retrieval.shelf import (
    IndexSummary,
    delete_index,
    describe_index,
    list_indexes,
    verify_index,
)

__all__ = [
    "BuildProgress",
    "BuildReport",
    "DemonstrationIndex",
    "IndexSummary",
    "Manifest",
    "build_index",
    "delete_index",
    "describe_index",
    "index_names",
    "list_indexes",
    "verify_index",
]
