"""The views for LangChain, each fault of its own parts pinned, and a small program that uses all."""

import asyncio
import json
import threading
import warnings

import numpy as np
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.example_selectors import SemanticSimilarityExampleSelector
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, FewShotChatMessagePromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from assistant.answering import Assistant, Request
from assistant.data import Fields
from assistant.errors import ModelError, SettingError
from assistant.generation.chat_model import ScriptedModel
from assistant.langchain import (
    DemonstrationSelector,
    LangChainChatModel,
    ShotwiseChatModel,
    ShotwiseEmbeddings,
    ShotwiseVectorStore,
    as_runnable,
)
from assistant.langchain.stopping import StopWords
from assistant.retrieval.encoders import ToyEncoder
from assistant.retrieval.index import DemonstrationIndex, build_index
from assistant.settings import GuardSettings, RetrievalSettings, SamplingSettings
from tests.toys import REVIEWS, make_reviews, write_reviews

UNGUARDED = RetrievalSettings(guard=GuardSettings(enabled=False))


@pytest.fixture
def toy(home):
    return make_reviews(home)


@pytest.fixture
def store(toy):
    return ShotwiseVectorStore(toy)


@pytest.fixture
def reference():
    """LangChain's own store over the same rows: the oracle."""
    documents = [Document(id=row, page_content=text, metadata={"label": label}) for row, text, label in REVIEWS]
    found = InMemoryVectorStore(ShotwiseEmbeddings("toy"))
    found.add_documents(documents)
    return found


@pytest.fixture
def cache():
    found = InMemoryCache()
    set_llm_cache(found)
    yield found
    set_llm_cache(None)


def few_shot(selector):
    pair = ChatPromptTemplate.from_messages([("human", "{text}"), ("ai", "{label}")])
    return FewShotChatMessagePromptTemplate(
        example_prompt=pair, example_selector=selector, input_variables=["text", "row_id"]
    )


# Selector (faults 1, 2, 3, 5, 6, 7)


def test_only_the_input_is_looked_for_whatever_other_variables_there_are(toy):
    selector = DemonstrationSelector(toy, ["text"])
    alone = selector.select_examples({"text": "a witty film"})
    history = [HumanMessage("hello"), AIMessage("hi")]
    assert selector.select_examples({"chat_history": history, "blah": "blah", "text": "a witty film"}) == alone
    assert alone[-1]["similarity"] == pytest.approx(
        float(ToyEncoder().encode(["a witty film", REVIEWS[1][1]]).prod(0).sum())
    )


def test_a_selector_without_input_keys_or_without_its_variable_is_refused(toy):
    with pytest.raises(SettingError, match="input_keys"):
        DemonstrationSelector(toy, [])
    with pytest.raises(SettingError, match="'text' must be a text"):
        DemonstrationSelector(toy, ["text"]).select_examples({"question": "x"})


def test_integer_labels_of_a_data_set_are_texts(home):
    build_index(str(write_reviews(home)), "raw", Fields(("text",), "label"), encoder="toy")
    shown = DemonstrationSelector(DemonstrationIndex.open("raw"), ["text"]).select_examples({"text": "x"})
    assert {one["label"] for one in shown} == {"0", "1"}
    assert all(isinstance(one["label"], str) for one in shown)


def test_the_question_itself_is_not_shown_and_hits_carry_their_similarity(toy, reference):
    question = "a gorgeous witty film"
    theirs = SemanticSimilarityExampleSelector(vectorstore=reference, k=4)
    assert question in [document.page_content for document in theirs.vectorstore.similarity_search(question, 4)]
    ours = DemonstrationSelector(toy, ["text"]).select_examples({"text": question})
    assert len(ours) == 4
    assert question not in [one["text"] for one in ours]
    assert all(-1 <= one["similarity"] <= 1 for one in ours)


def test_the_nearest_stands_last_unless_the_order_says_otherwise(toy):
    def ranks(order):
        selector = DemonstrationSelector(toy, ["text"], settings=RetrievalSettings(order=order))
        return [one["rank"] for one in selector.select_examples({"text": "a witty film"})]

    assert ranks("nearest-last") == [4, 3, 2, 1]
    assert ranks("nearest-first") == [1, 2, 3, 4]


def test_row_id_reaches_the_selector_through_the_prompt_and_keeps_that_row_out(toy):
    selector = DemonstrationSelector(toy, ["text"], settings=RetrievalSettings(k=8))
    prompt = few_shot(selector)
    without = prompt.invoke({"text": "some text", "row_id": "r3"}).to_messages()
    with_it = prompt.invoke({"text": "some text", "row_id": ""}).to_messages()
    lost = {message.content for message in with_it} - {message.content for message in without}
    assert lost == {"lovely and warm from start to end"}
    assert [kept.reason for kept in selector.select({"text": "some text"}, row_id="r3").excluded] == [
        "the same row as the question"
    ]


def test_braces_in_demonstrations_are_text(toy):
    selector = DemonstrationSelector(toy, ["text"], settings=RetrievalSettings(k=8))
    messages = few_shot(selector).invoke({"text": "what is {text} and {q}?", "row_id": ""}).to_messages()
    assert "the jokes in {braces} fall flat" in [message.content for message in messages]


def test_no_demonstrations_is_a_prompt_without_them(toy):
    selector = DemonstrationSelector(toy, ["text"], settings=RetrievalSettings(k=0))
    assert few_shot(selector).invoke({"text": "x", "row_id": ""}).to_messages() == []


def test_a_selector_cannot_be_added_to(toy):
    with pytest.raises(SettingError, match="built as a whole"):
        DemonstrationSelector(toy, ["text"]).add_example({"text": "x", "label": "y"})


@pytest.mark.parametrize("name", ["nearest", "diverse", "random", "balanced"])
def test_every_selector_of_ours_can_be_used(name, toy):
    selector = DemonstrationSelector(toy, ["text"], selector=name, labels=("negative", "positive"))
    shown = asyncio.run(selector.aselect_examples({"text": "a witty film"}))
    assert len(shown) == 4
    if name == "balanced":
        assert sorted(one["label"] for one in shown) == ["negative", "negative", "positive", "positive"]


# Store and embeddings (faults 4, 9, 15)


def test_the_stores_hits_and_scores_are_those_of_langchains_own_store(store, reference):
    ours = store.similarity_search_with_score("a witty film", k=8)
    theirs = reference.similarity_search_with_score("a witty film", k=8)
    assert [document.id for document, _ in ours] == [document.id for document, _ in theirs]
    assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], abs=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.7, 1.0])
def test_maximal_marginal_relevance_honours_its_lambda(weight, store, reference):
    options = {"k": 4, "fetch_k": 6, "lambda_mult": weight}
    ours = store.max_marginal_relevance_search("a witty film", **options)
    theirs = reference.max_marginal_relevance_search("a witty film", **options)
    assert [document.id for document in ours] == [document.id for document in theirs]


def test_maximal_marginal_relevance_honours_its_filter(store):
    def negative(document):
        return document.metadata["output"] == "negative"

    found = store.max_marginal_relevance_search("a witty film", k=8, filter=negative)
    assert len(found) == 4
    assert all(negative(document) for document in found)


def test_a_filter_is_searched_until_enough_pass(home):
    rows = [(f"n{n}", f"film number {n}", int(n == 299)) for n in range(300)]
    store = ShotwiseVectorStore(make_reviews(home, rows=rows))
    found = store.similarity_search(
        "film number 1", k=1, filter=lambda document: document.metadata["output"] == "positive"
    )
    assert [document.id for document in found] == ["n299"]


def test_a_wider_search_that_orders_equal_rows_otherwise_shows_each_once(home, monkeypatch):
    store = ShotwiseVectorStore(make_reviews(home, rows=[(f"n{n}", f"film number {n}", 0) for n in range(100)]))

    def nearest(embedding, n):
        rows = np.arange(min(n, 100))
        rows = rows if n <= 64 else np.roll(rows, 40)
        return np.zeros((1, len(rows)), dtype=np.float32), rows[None]

    monkeypatch.setattr(store.index, "nearest", nearest)
    found = store.similarity_search("film", k=100)
    assert {document.id for document in found} == {f"n{n}" for n in range(100)}


def test_documents_have_ids_fields_and_outputs(store):
    (found,) = store.get_by_ids(["r1", "nothing"])
    assert (found.id, found.page_content) == ("r1", "a gorgeous witty film")
    assert found.metadata == {"text": "a gorgeous witty film", "output": "positive", "row": 1}
    assert store.similarity_search("gorgeous", k=1)[0] == found
    assert store.similarity_search_by_vector(store.embeddings.embed_query("gorgeous"), k=1)[0] == found


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_relevance_is_the_cosine_whatever_the_metric(metric, home):
    build_index(str(write_reviews(home)), "m", Fields(("text",), "label"), encoder="toy", metric=metric)
    store = ShotwiseVectorStore(DemonstrationIndex.open("m"))
    ((_, relevance),) = store.similarity_search_with_relevance_scores("a gorgeous witty film", k=1)
    assert relevance == pytest.approx(1.0, abs=1e-6)
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99})
    assert len(retriever.invoke("a gorgeous witty film")) == 1


def test_a_retriever_passes_its_settings_on(store):
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "lambda_mult": 0.1})
    assert retriever.invoke("film") == store.max_marginal_relevance_search("film", k=2, lambda_mult=0.1)


def test_the_store_is_read_only_and_says_what_to_type(store):
    with pytest.raises(SettingError) as error:
        store.add_texts(["x"])
    assert "shotwise index build" in error.value.sentence()
    with pytest.raises(SettingError):
        store.add_documents([Document("x")])
    with pytest.raises(SettingError, match="from a table"):
        ShotwiseVectorStore.from_texts(["x"], ShotwiseEmbeddings("toy"))


def test_an_option_that_a_search_does_not_know_is_refused(store):
    with pytest.raises(SettingError, match="does not know: filters"):
        store.similarity_search("x", filters={"label": "pos"})


def test_embeddings_are_the_encoders_rows(toy):
    texts = ["a\nb", "c"]
    rows = ShotwiseEmbeddings("toy").embed_documents(texts)
    assert np.allclose(rows, ToyEncoder().encode(texts))
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert ShotwiseEmbeddings("toy").embed_documents([]) == []


# Chat model (faults 10 to 14)


def test_a_batch_is_one_padded_batch():
    model = ScriptedModel()
    batches = []
    generate = model.generate
    model.generate = lambda prompts, samplings, stop: batches.append(len(prompts)) or generate(prompts, samplings, stop)
    chat = ShotwiseChatModel(chat_model=model)
    questions = ["one", "two", "three", "two"]
    assert [reply.content for reply in chat.batch(questions)] == questions
    assert [reply.content for reply in asyncio.run(chat.abatch(questions))] == questions
    assert batches == [3, 3]  # a question that is asked twice is computed once


def test_a_batch_still_calls_back_for_each_question():
    class Counter(BaseCallbackHandler):
        ends = 0

        def on_llm_end(self, response, **kwargs):
            self.ends += 1

    counter = Counter()
    ShotwiseChatModel(chat_model=ScriptedModel()).batch(["a", "b"], {"callbacks": [counter]})
    assert counter.ends == 2


def test_one_bad_question_does_not_spoil_a_batch():
    chat = ShotwiseChatModel(chat_model=ScriptedModel())
    bad = [ToolMessage("x", tool_call_id="1")]
    good, failed = chat.batch([[HumanMessage("hello")], bad], return_exceptions=True)
    assert good.content == "hello"
    assert isinstance(failed, ModelError)


def test_the_cache_does_not_mix_adapters_or_settings(cache):
    def model(reply, adapter=None, **sampling):
        scripted = ScriptedModel([reply])
        scripted.adapter, scripted.identity = adapter, {"place": "same", **({"adapter": adapter} if adapter else {})}
        return ShotwiseChatModel(chat_model=scripted, sampling=SamplingSettings(**sampling))

    models = [model("plain"), model("first", "a"), model("second", "b"), model("seeded", "b", temperature=1.0, seed=1)]
    assert [one.invoke("hi").content for one in models] == ["plain", "first", "second", "seeded"]
    assert [one.invoke("hi").content for one in models] == ["plain", "first", "second", "seeded"]
    assert model("not asked", "a").invoke("hi").content == "first"


def test_models_that_do_not_say_what_they_are_share_no_cache(cache):
    first, second = (ShotwiseChatModel(chat_model=ScriptedModel([reply])) for reply in ("one", "two"))
    assert [first.invoke("hi").content, second.invoke("hi").content] == ["one", "two"]
    first.invoke("hi")
    assert len(first.chat_model.history) == 1


def test_tokens_are_counted_by_the_models_own_tokenizer():
    chat = ShotwiseChatModel(chat_model=ScriptedModel())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chat.get_num_tokens("é") == 2
        messages = [HumanMessage("hi")]
        sent = chat.invoke(messages).usage_metadata["input_tokens"]
        assert chat.get_num_tokens_from_messages(messages) == sent


def test_usage_is_on_every_reply_and_at_the_end_of_every_stream():
    chat = ShotwiseChatModel(chat_model=ScriptedModel(["one two three"]))
    usage = chat.invoke("hi").usage_metadata
    assert usage["output_tokens"] == 3
    assert usage["total_tokens"] == usage["input_tokens"] + 3
    chunks = list(chat.stream("hi"))
    assert "".join(chunk.content for chunk in chunks) == "one two three"
    assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [usage]


def test_structured_output_is_refused_instead_of_hoped_for():
    with pytest.raises(NotImplementedError):
        ShotwiseChatModel(chat_model=ScriptedModel()).with_structured_output({"title": "x", "type": "object"})


def test_stop_words_end_the_reply_in_every_verb():
    def chat():
        return ShotwiseChatModel(chat_model=ScriptedModel(["one two STOP three four five"]))

    assert chat().invoke("hi", stop=["STOP", "four"]).content == "one two "
    assert [reply.content for reply in chat().batch(["a", "b"], stop=["STOP"])] == ["one two "] * 2
    one = chat()
    pieces = [chunk.content for chunk in one.bind(stop=["o S"]).stream("hi")]
    assert "".join(pieces) == "one tw"
    assert one.chat_model.steps <= 4


def test_no_part_of_a_stop_word_is_ever_shown():
    words = StopWords(["###", "END"])
    assert words.settled("text ##") == "text "
    assert words.settled("text E") == "text "
    assert words.settled("text") == "text"
    assert words.cut("a END b ###") == ("a ", True)
    assert StopWords(None).cut("a") == ("a", False)


def test_options_of_a_call_are_ours_or_refused():
    chat = ShotwiseChatModel(chat_model=ScriptedModel(["one two three"]))
    assert chat.invoke("hi", max_tokens=2).content == "one two"
    assert chat.invoke("hi", max_tokens=2).response_metadata["finish_reason"] == "length"
    with pytest.raises(SettingError, match="frequency_penalty"):
        chat.invoke("hi", frequency_penalty=1)


def test_messages_become_turns_and_anything_but_text_is_refused():
    model = ScriptedModel()
    chat = ShotwiseChatModel(chat_model=model)
    chat.invoke([SystemMessage("s"), HumanMessage([{"type": "text", "text": "u"}]), AIMessage("a"), HumanMessage("v")])
    assert model.history[-1].messages == (
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "v"},
    )
    with pytest.raises(ModelError, match="Only text"):
        chat.invoke([HumanMessage([{"type": "image", "url": "x"}])])


# The assistant as a Runnable


def test_the_runnable_answers_with_everything_that_was_shown(toy):
    request = Request("", strategy="dynamic-few-shot", task="sentiment", index="toy")
    reply = as_runnable(Assistant(ScriptedModel()), request).invoke("a witty film")
    answer = reply.response_metadata["shotwise"]
    assert (reply.content, answer["final_answer"], answer["index"]) == ("positive", "positive", "toy")
    assert answer["demonstrations"][0]["id"] == "r1"
    assert json.dumps(answer)


def test_the_runnable_reads_a_dict_with_row_id_history_and_strategy(toy):
    runnable = as_runnable(Assistant(ScriptedModel()), Request("", task="sentiment", index="toy"))
    asked = {"text": "a witty film", "strategy": "dynamic-few-shot", "row_id": "r1", "other": object()}
    answer = runnable.invoke(asked).response_metadata["shotwise"]
    assert [kept["id"] for kept in answer["excluded"]] == ["r1"]
    with_history = {"message": "x", "task": "chat", "history": [HumanMessage("a"), AIMessage("b")]}
    messages = runnable.invoke(with_history).response_metadata["shotwise"]["calls"][0]["messages"]
    assert [message["content"] for message in messages[1:]] == ["a", "b", "x"]
    with pytest.raises(SettingError, match="'message' or: text"):
        runnable.invoke({"question": "x"})


def test_the_runnable_streams_and_batches():
    model = ScriptedModel()
    runnable = as_runnable(Assistant(model))
    chunks = list(runnable.stream("one two three"))
    assert len(chunks) > 2
    assert "".join(chunk.content for chunk in chunks) == "one two three"
    assert chunks[-1].usage_metadata["output_tokens"] == 3
    model.steps = 0
    assert [reply.content for reply in runnable.batch(["a b", "c d"])] == ["a b", "c d"]
    assert model.steps == 2  # side by side, not one after the other


def test_a_strategy_that_votes_is_streamed_in_one_piece():
    model = ScriptedModel(["thinking\nAnswer: 1", "thinking\nAnswer: 2"])
    request = Request("", strategy="self-consistency", task="word-problems")
    pieces = [chunk.content for chunk in as_runnable(Assistant(model), request).stream("How many?") if chunk.content]
    assert pieces == ["2"]


# Any LangChain chat model as ours


def fake(*replies):
    return GenericFakeChatModel(messages=iter([AIMessage(reply) for reply in replies]))


def test_a_langchain_model_answers_our_requests_and_streams():
    model = LangChainChatModel(fake("good morning to you"), name="fake")
    snapshots = list(Assistant(model).stream(Request("hello")))
    assert snapshots[-1].answer == "good morning to you"
    assert snapshots[-1].model == "fake"
    assert len({snapshot.answer for snapshot in snapshots}) > 3
    assert any("estimates" in note for note in snapshots[-1].notes)


def test_its_prompt_is_a_transcript_with_the_origin_of_every_part():
    prepared = Assistant(LangChainChatModel(fake())).prepare(Request("hello", strategy="static-few-shot"))
    text = prepared.rendered.text
    assert text.startswith("system: You are Shotwise")
    assert text.endswith("\nuser: hello\n")
    assert "".join(text[span.start : span.end] for span in prepared.rendered.spans) == text


def test_it_compares_side_by_side():
    model = LangChainChatModel(fake("same", "same"))
    *_, answers = Assistant(model).compare([Request("a"), Request("b")])
    assert [answer.answer for answer in answers] == ["same", "same"]
    assert all(answer.done for answer in answers)


def test_it_stops():
    stop = threading.Event()
    snapshots = Assistant(LangChainChatModel(fake("one two three four five six"))).stream(Request("hello"), stop)
    for snapshot in snapshots:
        if "two" in snapshot.answer:
            stop.set()
    assert snapshot.problem == "stopped before the end"
    assert "six" not in snapshot.answer


def test_it_gives_no_likelihoods_and_says_so():
    request = Request("good", task="sentiment", reading="labels")
    with pytest.raises(ModelError) as error:
        Assistant(LangChainChatModel(fake())).answer(request)
    assert "no likelihoods" in error.value.sentence()


def test_its_own_errors_come_through():
    with pytest.raises((RuntimeError, StopIteration)):
        Assistant(LangChainChatModel(fake())).answer(Request("hello"))


def test_our_model_seen_as_theirs_seen_as_ours_gives_the_same_reply():
    theirs = ShotwiseChatModel(chat_model=ScriptedModel())
    assert Assistant(LangChainChatModel(theirs)).answer(Request("hello there")).answer == "hello there"


# A small program


def test_a_langchain_program_end_to_end(toy):
    selector = DemonstrationSelector(toy, ["text"], settings=RetrievalSettings(k=2))
    prompt = ChatPromptTemplate.from_messages(
        [
            ("system", "Positive or negative?"),
            MessagesPlaceholder("past", optional=True),
            few_shot(selector),
            ("human", "{text}"),
        ]
    )
    scripted = ScriptedModel(lambda prompt, sampling: prompt.messages[-2]["content"])
    chain = prompt | ShotwiseChatModel(chat_model=scripted) | StrOutputParser()
    labelled = RunnablePassthrough.assign(label=chain)
    rows = [{"text": "a gorgeous witty film", "row_id": "r1"}, {"text": "far too long", "row_id": ""}]
    assert [row["label"] for row in labelled.batch(rows)] == ["negative", "negative"]
    # `assign` asks each row in a thread of its own, in any order.
    sent = {prompt.messages[-1]["content"]: prompt.messages for prompt in scripted.history}
    assert set(sent) == {row["text"] for row in rows}
    contents = [message["content"] for message in sent["a gorgeous witty film"]]
    assert contents[0] == "Positive or negative?"
    assert contents.count("a gorgeous witty film") == 1
    assert "".join(chain.stream(rows[1])) == "negative"
