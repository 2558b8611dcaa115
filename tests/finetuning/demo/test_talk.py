"""What is said in open conversation, and the conversations made of it."""

import json
import random
import re
from collections import Counter
from itertools import pairwise

import pytest

from assistant import paths
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.runs import text_key
from assistant.finetuning.demo.sayings import as_typed, load_talk
from assistant.finetuning.demo.talk import LENGTHS, TalkEpisodes
from assistant.prompting.strategies import STRATEGIES
from assistant.prompting.tasks import load_task


class Everything:
    def __contains__(self, key):
        return True


@pytest.fixture(scope="module")
def talk():
    return load_talk()


def episodes(talk, seed=0, held_out=()):
    return TalkEpisodes(talk, random.Random(seed), set(held_out))


def contents(episode, role):
    return [message["content"] for message in episode if message["role"] == role]


def drawn(talk, kind, count=300):
    source = episodes(talk)
    return [getattr(source, kind)() for _ in range(count)]


KINDS = ("small_talk", "lookup", "redefinition", "reasoned_talk")


def test_there_are_many_intents_each_with_many_ways_to_ask_and_a_few_replies(talk):
    assert len(talk.intents) >= 70
    rng = random.Random(0)
    for intent in talk.intents:
        ways = {talk.speak(pattern, rng) for _ in range(30) for pattern in intent.ask}
        assert len(ways) >= 8, intent.ask
        assert 2 <= len(set(intent.reply)) <= 4, intent.ask


def test_every_kind_of_intent_has_a_share_and_a_rationale(talk):
    assert {intent.kind for intent in talk.intents} == set(talk.share) == set(talk.rationale)


def test_a_pattern_becomes_one_of_its_readings(talk):
    read = {talk.speak("[hi|hey|] {name}", random.Random(seed), {"name": "Mo"}) for seed in range(40)}
    assert read == {"hi Mo", "hey Mo", "Mo"}


def test_a_slot_is_drawn_once_and_remembered(talk):
    slots = {}
    text = talk.speak("{city}, {city}", random.Random(3), slots)
    assert text == f"{slots['city']}, {slots['city']}"
    assert slots["city"] in talk.words["city"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_hole_or_bracket_is_left(talk, kind):
    for episode in drawn(talk, kind):
        for text in (message["content"] for message in episode):
            assert not re.search(r"[\[\]{}|]", text), text
            assert text == text.strip() != ""


@pytest.mark.parametrize("kind", KINDS)
def test_users_and_replies_take_turns_and_a_reply_ends_the_episode(talk, kind):
    for episode in drawn(talk, kind):
        roles = [message["role"] for message in episode]
        roles = roles[1:] if roles[0] == "system" else roles
        assert roles == ["user", "assistant"] * (len(roles) // 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_episodes(talk, kind):
    assert drawn(talk, kind, 20) == drawn(talk, kind, 20)


def test_conversations_are_of_every_length(talk):
    assert {len(contents(episode, "assistant")) for episode in drawn(talk, "small_talk")} == set(LENGTHS)


def test_nobody_says_goodbye_before_the_last_exchange(talk):
    said = Counter()
    for episode in drawn(talk, "small_talk", 600):
        *earlier, last = contents(episode, "assistant")
        assert not [reply for reply in earlier if re.match("Goodbye|Bye|See you|Good night", reply)]
        said[bool(re.match("Goodbye|Bye|See you|Good night", last))] += 1
    assert said[True] > 40


def test_about_seven_in_ten_conversations_have_the_instruction_of_the_chat_task(talk):
    found = Counter(tuple(contents(episode, "system")) for episode in drawn(talk, "small_talk", 1000))
    served = {(words.instruction,) for words in load_task("chat").wordings if words.instruction}
    assert set(found) == {(), *served}
    assert 0.65 < 1 - found[()] / 1000 < 0.75


def test_what_is_held_out_is_never_asked(talk):
    asked = Counter(text for episode in drawn(talk, "small_talk", 600) for text in contents(episode, "user"))
    often = {text_key(text) for text, _ in asked.most_common(40)}
    source = episodes(talk, held_out=often)
    for kind in KINDS:
        for episode in (getattr(source, kind)() for _ in range(200)):
            lines = [text.removesuffix("\n\nLet's think step by step.") for text in contents(episode, "user")]
            assert not often & set(map(text_key, lines))


def test_near_copies_of_what_is_held_out_are_not_asked_either(talk):
    held_out = HeldOut.of({"questions": ["How do you explain an index to people?", "What is an index?"]})
    intent = next(intent for intent in talk.intents if "what is an index[ in simple words" in " ".join(intent.ask))
    loose, strict = episodes(talk), TalkEpisodes(talk, random.Random(0), held_out)
    asked = [[source.ask(intent.ask).lower() for _ in range(300)] for source in (loose, strict)]
    assert ["what is an index" in " ".join(texts) for texts in asked] == [True, False]


def test_no_reply_repeats_an_answer_of_the_built_in_set(talk):
    rows = (paths.demo() / "data" / "about_shotwise.jsonl").read_text(encoding="utf-8").splitlines()
    answers = HeldOut.of({"about": [json.loads(row)["answer"] for row in rows]})
    replies = [text for intent in talk.intents for text in (*intent.reply, *intent.more)]
    assert [text for text in replies if answers.why(text)] == []


def test_a_talk_whose_every_question_is_held_out_is_refused(talk):
    with pytest.raises(ValueError, match="held out"):
        TalkEpisodes(talk, random.Random(0), Everything()).small_talk()


def test_no_reply_is_said_twice_in_a_row_or_three_times_in_all(talk):
    for episode in drawn(talk, "small_talk", 1000):
        replies = contents(episode, "assistant")
        assert all(one != other for one, other in pairwise(replies)), replies
        assert max(Counter(replies).values()) <= 2, replies


def test_what_is_recalled_was_told_before(talk):
    recalled = Counter()
    forms = {
        "name": r"[Yy]our name is (\w+)\.",
        "place": r"Your \w+ is in the ([\w ]+)\.",
        "number": r"You are (\d+)\.",
    }
    for episode in drawn(talk, "small_talk", 1000):
        said = ""
        for message in episode:
            if message["role"] == "user":
                said += message["content"].lower()
                continue
            for name, form in forms.items():
                if found := re.fullmatch(form, message["content"]):
                    assert found[1].lower() in said, (said, message)
                    recalled[name] += 1
    assert sum(recalled.values()) > 30
    assert set(recalled) == set(forms)


def test_a_name_that_changed_is_recalled_as_it_is_now(talk):
    changed = 0
    for episode in drawn(talk, "small_talk", 3000):
        users, replies = contents(episode, "user"), contents(episode, "assistant")
        told = ""
        for asked, reply in zip(users, replies, strict=True):
            new = re.search(r"[Mm]y name(?: is|'s) ([A-Z]\w+)", asked)
            other = re.search(r"(?i)(I am|I'm|call me|called) \w+", asked)
            changed += bool(new and told)
            told = new[1] if new else "" if other else told
            if told and (found := re.fullmatch(r"Your name is (\w+)\.", reply)):
                assert found[1] == told
    assert changed > 3


def test_a_name_is_never_used_before_it_was_told(talk):
    for episode in drawn(talk, "small_talk", 500):
        said = ""
        for message in episode:
            if message["role"] == "assistant":
                found = re.search(r"(?:Goodbye|Hello|Hi|Bye|See you|You are welcome), (\w+)[!.]", message["content"])
                assert not found or found[1].lower() in said.lower() or found[1] == "and", (said, found[0])
            else:
                said += message["content"]


def test_a_looked_up_reply_stands_among_the_earlier_ones_or_is_not_known(talk):
    found = Counter()
    for episode in drawn(talk, "lookup", 500):
        *earlier, reply = contents(episode, "assistant")
        found[reply in earlier] += 1
        assert reply in earlier or "not" in reply
    assert found[True] > 4 * found[False] > 0


def test_a_redefined_word_follows_its_new_meaning(talk):
    pairs = talk.redefinition.pairs
    fits = {m.meaning: set(m.statements) for pair in pairs for m in pair}
    verdicts = Counter()
    for episode in drawn(talk, "redefinition", 400):
        users, replies = contents(episode, "user"), contents(episode, "assistant")
        named = [meaning for meaning in fits if meaning in users[0]]
        meaning = min(named, key=lambda meaning: (users[0].index(meaning), -len(meaning)))
        for asked, reply in zip(users, replies, strict=True):
            statement = [one for statements in fits.values() for one in statements if one in asked]
            assert reply.startswith(("Yes", "No"))
            assert meaning in reply
            if statement:
                assert reply.startswith("Yes") == (statement[0] in fits[meaning]), (asked, reply)
                verdicts[reply.split()[0].strip(",.")] += 1
    assert min(verdicts["Yes"], verdicts["No"]) > 100


def test_no_statement_fits_two_meanings(talk):
    statements = [text for pair in talk.redefinition.pairs for meaning in pair for text in meaning.statements]
    assert len(statements) == len(set(statements))


def test_reasoning_ends_with_the_line_that_is_scored(talk):
    shown = asked = 0
    for episode in drawn(talk, "reasoned_talk", 200):
        if episode[-2]["content"].startswith("So what is the final answer?"):
            asked += 1
            assert episode[-3]["content"].endswith(f"\nAnswer: {episode[-1]['content']}")
        else:
            shown += 1
            assert re.fullmatch(r"Let's think step by step: [^\n]+\nAnswer: [^\n]+", episode[-1]["content"])
    assert shown > 50 < asked


def test_a_typed_text_keeps_its_words(talk):
    plain = "do you know what is in the box?"
    typed = {as_typed(plain, random.Random(seed)) for seed in range(100)}
    assert len(typed) > 5
    assert all(text_key(text).isalnum() and "box" in text.lower() for text in typed)


def test_every_strategy_and_command_named_in_a_reply_exists(talk):
    import typer

    from assistant.cli import app

    command = typer.main.get_command(app)
    for reply in (text for intent in talk.intents for text in (*intent.reply, *intent.more)):
        for name in re.findall(r"shotwise ([a-z][a-z-]+)", reply):
            assert name in command.commands, reply
        for name in re.findall(r"\b(?:static|dynamic|random|zero|few)-\S+-\S+\b", reply):
            assert name.strip(".,:") in STRATEGIES, reply
