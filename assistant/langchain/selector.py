"""Our selectors as a LangChain example selector."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langchain_core.example_selectors import BaseExampleSelector

from assistant.errors import SettingError
from assistant.records import Hit, Query, Selection
from assistant.retrieval.opened import DemonstrationIndex
from assistant.retrieval.selectors import Pool, arrange, select
from assistant.settings import RetrievalSettings

ROW_ID, GROUP = "row_id", "group"


class DemonstrationSelector(BaseExampleSelector):
    """Chooses demonstrations from an index; the leak guard is on unless the settings say otherwise.

    Only the variables named in `input_keys` are read, so neither labels nor a chat history are
    embedded. A variable `row_id` (and `group`) says which row is asked about, and keeps it out.
    For use in `FewShotChatMessagePromptTemplate`; `FewShotPromptTemplate` formats texts twice,
    and braces in them then stop the run or leak variables.
    """

    def __init__(
        self,
        index: DemonstrationIndex,
        input_keys: Sequence[str],
        *,
        selector: str = "nearest",
        settings: RetrievalSettings | None = None,
        labels: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        if not input_keys:
            raise SettingError("Name the variables that are looked for: input_keys is empty.")
        self.index, self.input_keys = index, tuple(input_keys)
        self.settings = settings or RetrievalSettings()
        self._selector, self._labels, self._seed = selector, tuple(labels), seed

    def add_example(self, example: Mapping[str, str]) -> Any:
        """Refuse: an index is built as a whole.

        Raises:
            SettingError: always.
        """
        raise read_only(self.index)

    def select(
        self, query: Mapping[str, Any], *, row_id: str = "", group: str = "", banned: Collection[str] = ()
    ) -> Selection:
        """Return hits, best first, and what was kept out.

        Raises:
            SettingError: if a variable of `input_keys` is missing or no text.
        """
        inputs = {name: query.get(name) for name in self.input_keys}
        for name, value in inputs.items():
            if not isinstance(value, str):
                raise SettingError(f"The variable '{name}' must be a text.", f"Given: {', '.join(query) or 'none'}.")
        asked = Query({name: str(value) for name, value in inputs.items()}, row_id, group)
        pool = Pool(self.index)
        return select(self._selector, asked, pool, self.settings, seed=self._seed, labels=self._labels, banned=banned)

    def select_examples(self, input_variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return demonstrations in the order of the prompt: fields, output, id, similarity, rank."""
        row_id, group = str(input_variables.get(ROW_ID) or ""), str(input_variables.get(GROUP) or "")
        hits = self.select(input_variables, row_id=row_id, group=group).hits
        return [self._example(hit) for hit in arrange(hits, self.settings.order, self._seed)]

    def _example(self, hit: Hit) -> dict[str, Any]:
        record = hit.to_json()
        column = self.index.manifest.fields.get("output")
        return record if not column or column in record else {**record, column: hit.demonstration.output}


def read_only(index: DemonstrationIndex) -> SettingError:
    """Return the error for whoever wants to add to an index."""
    return SettingError(
        f"The index '{index.name}' is built as a whole and cannot be added to.",
        f"Add the rows to its source and build it again: {index.manifest.repair()}",
    )
