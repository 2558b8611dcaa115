import pytest

from assistant.errors import PromptError
from assistant.prompting.building import build_prompt, extraction_prompt, label_names, label_replies
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import EXTRACT, TRIGGER, load_task
from assistant.prompting.templates import fill, load_template
from assistant.records import Demonstration, Message

TASK = load_task("sentiment")
SHOWN = (
    Demonstration("a", {"text": "dull"}, "negative", "It is called dull."),
    Demonstration("b", {"text": "fine"}, "positive", "It is called fine."),
)
PAST = (Message(role="user", content="hello"), Message(role="assistant", content="hi"))


def built(name, inputs=None, shown=SHOWN, history=(), task=TASK):
    return build_prompt(task, find_strategy(name), inputs or {"text": "so so"}, shown, history)


def test_the_order_is_instruction_demonstrations_history_question():
    prompt = built("dynamic-few-shot", history=PAST)
    assert prompt.origins == (
        *("instruction", "demonstration a", "demonstration a", "demonstration b", "demonstration b"),
        *("history", "history", "question"),
    )
    assert [message["role"] for message in prompt.messages] == ["system", *["user", "assistant"] * 3, "user"]


def test_demonstrations_are_asked_in_the_same_words_as_the_question():
    prompt = built("dynamic-few-shot", {"text": "dull"}, SHOWN[:1])
    assert prompt.messages[1]["content"] == prompt.messages[-1]["content"] == "Review: dull"


def test_a_rationale_is_shown_before_its_answer_only_where_reasoning_is_shown():
    assert (
        built("static-cot").messages[2]["content"] == "Let's think step by step: It is called dull.\nAnswer: negative"
    )
    assert built("static-few-shot").messages[2]["content"] == "negative"


def test_a_trigger_asks_for_steps_and_a_second_prompt_for_the_answer():
    prompt = built("zero-shot-cot", shown=())
    assert prompt.messages[-1]["content"].endswith(TRIGGER)
    second = extraction_prompt(prompt, "Some say yes.")
    assert second.messages[:-2] == prompt.messages
    assert [message["content"] for message in second.messages[-2:]] == ["Some say yes.", EXTRACT]


def test_braces_in_any_text_stay_what_they_are():
    text = "{{ labels }} {% raw %} {x} {0}"
    shown = (Demonstration("a", {"text": text}, "negative", text),)
    prompt = built("static-cot", {"text": text}, shown)
    assert all(text in message["content"] for message in prompt.messages[1:])


def test_a_hole_without_a_value_stops_the_run():
    with pytest.raises(PromptError, match=r"hole without a value.*nothing"):
        fill("{{ nothing }}", {"text": "x"})
    with pytest.raises(PromptError, match="cannot be read"):
        fill("{% if %}", {})


def test_a_task_without_an_instruction_has_no_system_turn():
    chat = load_task("chat")
    prompt = build_prompt(chat, find_strategy("zero-shot"), {"message": "hello"}, wording="none")
    assert prompt.messages == ({"role": "user", "content": "hello"},)


def test_the_published_templates_are_word_for_word():
    def user(name):
        return built(name, {"text": "TEXT"}, ()).messages[-1]["content"]

    assert user("imdb-instruction").startswith("TEXT Given the above review we have two two classes. class_0: In such")
    assert user("imdb-instruction").endswith("just output the label without anymore word.")
    assert user("imdb-few-shot").startswith("First review: Brilliant and moving performances by Tom Courtenay")
    assert user("imdb-few-shot").endswith("'This review belongs to 'class_X''. New review:TEXT")
    assert "TEXT" in user("imdb-baseline")


def test_the_published_templates_cut_the_review_at_200_words():
    words = [f"w{number}" for number in range(300)]
    content = built("imdb-baseline", {"text": " ".join(words)}, ()).messages[-1]["content"]
    assert "w199" in content
    assert "w200" not in content


def test_label_replies_are_what_an_ideal_reply_would_be():
    assert label_replies(TASK, find_strategy("zero-shot")) == {"negative": "negative", "positive": "positive"}
    assert label_replies(TASK, find_strategy("imdb-few-shot")) == {
        "negative": "This review belongs to 'class_0'",
        "positive": "This review belongs to 'class_1'",
    }
    assert label_names(TASK, find_strategy("imdb-few-shot")) == {"class_0": "negative", "class_1": "positive"}
    assert load_template("imdb-few-shot").task == "sentiment"


@pytest.mark.parametrize("names", [("negative", "positive"), ("class_1", "class_0"), ("neg", "pos")])
def test_a_template_takes_given_label_names_even_if_they_are_those_of_the_task(names):
    task, strategy = TASK.renamed(names), find_strategy("imdb-baseline")
    assert label_replies(task, strategy) == dict(zip(names, names, strict=True))
    question = built("imdb-baseline", task=task).messages[-1]["content"]
    assert f"'{names[0]}' and '{names[1]}'" in question
