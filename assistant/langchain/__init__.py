"""Our index, selectors and models as langchain-core interfaces, and any LangChain chat model as ours.

The owner of langchain_core. What its own parts get wrong for our purpose (label text embedded,
no copies kept out, filters lost in maximal marginal relevance, caches that mix adapters, batches
that are threads) is done otherwise here, and each point is pinned by a test.
"""

from __future__ import annotations

from assistant.langchain.chat import ShotwiseChatModel
from assistant.langchain.foreign import LangChainChatModel
from assistant.langchain.runnable import as_runnable
from assistant.langchain.selector import DemonstrationSelector
from assistant.langchain.store import ShotwiseEmbeddings, ShotwiseVectorStore

__all__ = [
    "DemonstrationSelector",
    "LangChainChatModel",
    "ShotwiseChatModel",
    "ShotwiseEmbeddings",
    "ShotwiseVectorStore",
    "as_runnable",
]
