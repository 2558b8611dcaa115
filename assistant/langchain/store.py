"""An index as a read-only LangChain vector store, and its encoder as embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from assistant.errors import SettingError
from assistant.langchain.selector import read_only
from assistant.retrieval.encoders import DEFAULT, Encoder, load_encoder
from assistant.retrieval.opened import DemonstrationIndex

Filter = Callable[[Document], bool]


class ShotwiseEmbeddings(Embeddings):
    """An encoder of ours, by name or as it is; rows have length 1."""

    def __init__(self, encoder: Encoder | str = DEFAULT) -> None:
        self.encoder = load_encoder(encoder) if isinstance(encoder, str) else encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one embedding per text."""
        rows: list[list[float]] = self.encoder.encode(texts).tolist() if texts else []
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Return the embedding of one text."""
        return self.embed_documents([text])[0]


class ShotwiseVectorStore(VectorStore):
    """A view of an index: its rows as documents, found by the cosine of their inputs.

    `filter` is a function of a document. A document's text is the row's input, its metadata
    the fields, the output and the row number, its id the row's id. No leak guard is applied.
    """

    def __init__(self, index: DemonstrationIndex) -> None:
        self.index = index

    @property
    def embeddings(self) -> Embeddings:
        """Return the encoder the index was built with."""
        return ShotwiseEmbeddings(self.index.encoder)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Refuse: an index is built from a table.

        Raises:
            SettingError: always.
        """
        del texts, embedding, metadatas, ids, kwargs
        raise SettingError(
            "An index is built from a table, not from texts in memory.",
            "Build it: shotwise index build SOURCE --name NAME, then open it.",
        )

    def add_texts(
        self,
        texts: Any,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Refuse: an index is built as a whole.

        Raises:
            SettingError: always.
        """
        del texts, metadatas, ids, kwargs
        raise read_only(self.index)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the rows of those ids; ids that do not exist are left out."""
        rows = (self.index.row_of(identity) for identity in ids)
        return [self._document(row) for row in rows if row is not None]

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002 - LangChain's name
        **kwargs: Any,
    ) -> list[Document]:
        """Return the k nearest documents that pass the filter, nearest first."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter, **kwargs)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        """Return the k nearest documents with their cosine, nearest first."""
        _refuse(kwargs)
        found = islice(self._nearest(self.index.embed(query), filter), max(k, 0))
        return [(document, cosine) for document, cosine, _ in found]

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002
        **kwargs: Any,
    ) -> list[Document]:
        """Return the k documents nearest to an embedding."""
        _refuse(kwargs)
        return [document for document, _, _ in islice(self._nearest(embedding, filter), max(k, 0))]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,  # noqa: A002
        **kwargs: Any,
    ) -> list[Document]:
        """Return k of the `fetch_k` nearest that pass the filter, near and unlike each other."""
        return self.max_marginal_relevance_search_by_vector(
            self.index.embed(query), k, fetch_k, lambda_mult, filter, **kwargs
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Any,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,  # noqa: A002
        **kwargs: Any,
    ) -> list[Document]:
        """Return the same for an embedding; `lambda_mult` 1 looks only at nearness, 0 only at novelty."""
        _refuse(kwargs)
        found = list(islice(self._nearest(embedding, filter), max(fetch_k, k, 0)))
        if not found or k <= 0:
            return []
        units = list(self.index.units([row for _, _, row in found]))
        chosen = maximal_marginal_relevance(_row(embedding), units, lambda_mult=lambda_mult, k=k)
        return [found[at][0] for at in chosen]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        # A relevance is 0…1 to LangChain: cosines below zero are all equally far.
        return lambda cosine: max(0.0, min(1.0, cosine))

    def _nearest(self, embedding: Any, wanted: Filter | None) -> Iterator[tuple[Document, float, int]]:
        """Yield documents that pass, with cosine and row, nearest first; fetches more as it goes."""
        done, n = 0, 64
        seen: set[int] = set()
        while done < len(self.index):
            cosines, rows = self.index.nearest(embedding, n)
            for cosine, row in zip(cosines[0].tolist(), rows[0].tolist(), strict=True):
                if row in seen:  # equal rows may come in another order when more are asked for
                    continue
                seen.add(row)
                document = self._document(row)
                if wanted is None or wanted(document):
                    yield document, cosine, row
            done, n = rows.shape[1], n * 4

    def _document(self, row: int) -> Document:
        shown = self.index.demonstration(row)
        metadata = {**shown.inputs, "output": shown.output, "row": row}
        metadata |= {name: text for name, text in (("rationale", shown.rationale), ("group", shown.group)) if text}
        return Document(id=shown.id, page_content=shown.text(), metadata=metadata)


def _row(embedding: Any) -> Any:
    import numpy as np

    return np.asarray(embedding, dtype=np.float32)


def _refuse(unknown: dict[str, Any]) -> None:
    if unknown:
        raise SettingError(f"This search does not know: {', '.join(unknown)}.", "It knows k and filter.")
