"""The answers of each open page, so that what stood behind an earlier one can be read again."""

from __future__ import annotations

import threading
from collections import OrderedDict

from assistant.records import Answer

_MOST_PAGES = 64
_MOST_ANSWERS = 100


class AnswerShelf:
    """Answers by page and turn, turn 1 first; the pages not used for longest are forgotten."""

    def __init__(self) -> None:
        self._pages: OrderedDict[str, dict[int, Answer]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, page: str, turn: int, answer: Answer) -> None:
        """Keep the answer of a turn; later turns of the page are forgotten, as in the conversation."""
        with self._lock:
            known = self._pages.pop(page, {})
            kept = {number: one for number, one in known.items() if number < turn} | {turn: answer}
            self._pages[page] = dict(list(kept.items())[-_MOST_ANSWERS:])
            while len(self._pages) > _MOST_PAGES:
                self._pages.popitem(last=False)

    def get(self, page: str, turn: int) -> Answer | None:
        """Return the answer of a turn, if it is still known."""
        return self._pages.get(page, {}).get(turn)

    def turns(self, page: str) -> dict[int, Answer]:
        """Return all answers of a page by turn."""
        return dict(self._pages.get(page, {}))

    def forget(self, page: str, after: int = 0) -> None:
        """Drop the answers of a page, those of the turns up to `after` excepted."""
        with self._lock:
            known = self._pages.pop(page, {})
            kept = {number: one for number, one in known.items() if number <= after}
            if kept:
                self._pages[page] = kept
