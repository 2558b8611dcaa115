import random
from threading import Event

import pytest

from assistant.generation.streaming import RowReader, steps_of

END = 300


def as_bytes(ids):
    return bytes(i for i in ids if i < 256).decode("utf-8", "replace")


class Row(list):
    def tolist(self):
        return list(self)


def test_characters_appear_only_when_all_their_bytes_are_there():
    reader = RowReader(as_bytes, [END], limit=100)
    seen = []
    for at, byte in enumerate([*"a🙂é你".encode(), END]):
        reader.read(byte, at / 10)
        seen.append(reader.generation.text)
    assert seen == ["a", "a", "a", "a", "a🙂", "a🙂", "a🙂é", "a🙂é", "a🙂é", "a🙂é你", "a🙂é你"]
    assert reader.generation.finish == "end"


def test_a_reply_cut_within_a_character_does_not_show_its_beginning():
    reader = RowReader(as_bytes, [], limit=3)
    for byte in b"a" + "🙂".encode():
        reader.read(byte, 1.0)
    assert (reader.generation.text, reader.generation.finish) == ("a", "length")


def test_any_text_arrives_whole_whatever_its_bytes():
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choice("ab é你🙂\n\u2060") for _ in range(rng.randint(1, 30)))
        reader = RowReader(as_bytes, [END], limit=10_000)
        shown = ""
        for byte in text.encode():
            reader.read(byte, 0.1)
            assert reader.generation.text.startswith(shown)
            shown = reader.generation.text
        assert shown == text


def test_a_finished_row_takes_no_more_and_a_stopped_one_keeps_its_text():
    reader = RowReader(as_bytes, [END], limit=5)
    for token in (97, END, 98):
        reader.read(token, 0.5)
    reader.stop()
    assert (reader.generation.text, reader.generation.new_tokens, reader.generation.finish) == ("a", 2, "end")


def test_closing_the_steps_sets_the_event_and_waits_for_the_thread():
    ended = []

    def work(queue, halt):
        queue.put(Row([[1, 2]]))
        queue.put(Row([3]))
        halt.wait(5)
        ended.append(halt.is_set())

    steps = steps_of(work)
    assert next(steps).tokens == (3,)
    steps.close()
    assert ended == [True]


def test_an_error_in_the_thread_is_raised_after_the_steps_before_it():
    def work(queue, halt):
        del halt
        queue.put(Row([[1]]))
        queue.put(Row([7]))
        raise KeyError("broken")

    steps = steps_of(work)
    assert next(steps).tokens == (7,)
    with pytest.raises(KeyError, match="broken"):
        next(steps)


def test_a_work_that_ends_at_once_yields_nothing():
    assert list(steps_of(lambda queue, halt: None)) == []
    assert not Event().is_set()
