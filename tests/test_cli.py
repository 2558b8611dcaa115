import io
import json
import os
import resource
import socket
import subprocess
import sys

import numpy as np
import pytest
import typer
from safetensors.numpy import save_file

from assistant import paths
from assistant.cli import app, run
from assistant.commands.showing import LiveText
from assistant.prompting.strategies import STRATEGIES
from assistant.prompting.tasks import task_names
from assistant.retrieval import encoders
from assistant.retrieval.encoders import ToyEncoder
from assistant.retrieval.index import list_indexes
from tests.toys import REVIEWS, make_problems, make_reviews, write_reviews

HEAVY = (
    "torch", "transformers", "gradio", "peft", "sentence_transformers", "datasets", "pandas", "pyarrow", "numpy",
    "faiss", "langchain_core", "jinja2", "rich",
)  # fmt: skip
SENTIMENT = ["--task", "sentiment", "--index", "toy", "--model", "scripted"]


@pytest.fixture
def toy(home):
    return make_reviews(home)


@pytest.fixture
def shotwise(capsys, monkeypatch):
    """A function that runs a command line and returns exit code, stdout and stderr."""

    def call(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def leaves(group, path=()):
    """Yield every command with the words that lead to it."""
    for name, command in group.commands.items():
        yield from leaves(command, (*path, name)) if hasattr(command, "commands") else [((*path, name), command)]


COMMANDS = dict(leaves(typer.main.get_command(app)))


# Help


def test_help_names_every_command(shotwise):
    code, out, _ = shotwise("--help")
    assert code == 0
    for path in COMMANDS:
        assert f"\n  {path[0]} " in out


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_every_option_says_what_it_does(path, shotwise):
    code, out, _ = shotwise(*path, "--help")
    assert code == 0
    assert COMMANDS[path].help
    assert all(getattr(parameter, "help", None) for parameter in COMMANDS[path].params), path
    assert out.startswith(f"Usage: shotwise {' '.join(path)}")


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from assistant.cli import run; run(['--help']); run(['ask', '--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_help_takes_less_than_half_a_second():
    def spent():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def seconds():
        # Of the processor, not of the clock: what else runs on this machine is not the command's doing.
        before = spent()
        subprocess.run([sys.executable, "-m", "assistant.cli", "--help"], capture_output=True, check=True)
        return spent() - before

    assert min(seconds() for _ in range(5)) < 0.5


def test_without_a_command_the_help_is_shown(shotwise):
    code, out, err = shotwise()
    assert (code, err) == (0, "")
    assert "Commands:" in out


def test_version_is_one_line(shotwise):
    code, out, _ = shotwise("--version")
    assert code == 0
    assert out.startswith("shotwise ")


# Mistakes


def one_sentence(result, *words):
    code, out, err = result
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    sentence = err.strip().splitlines()[-1]
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert word in sentence
    return sentence


def test_no_such_index(shotwise, toy):
    one_sentence(shotwise("index", "search", "nope", "x"), "no index named 'nope'", "toy", "shotwise index build")
    one_sentence(
        shotwise("ask", "x", "--strategy", "dynamic-few-shot", "--index", "nope", "--model", "scripted"), "nope"
    )


def test_wrong_field(shotwise, home):
    table = str(write_reviews(home))
    one_sentence(shotwise("index", "build", table, "--name", "q", "--input", "txt", "--encoder", "toy"), "txt", "text")


def test_empty_file(shotwise, home):
    for name in ("empty.csv", "empty.jsonl"):
        (home / name).touch()
        one_sentence(shotwise("index", "build", str(home / name), "--name", "q", "--encoder", "toy"), "no rows")
    assert not (home / "indexes" / "q").exists()


def test_wrong_encoder(shotwise, toy, monkeypatch):
    class Other(ToyEncoder):
        name = "other"

        def describe(self):
            return {**super().describe(), "sha256": "0" * 64}

    monkeypatch.setitem(encoders._loaded, "other", Other())
    result = shotwise("index", "search", "toy", "x", "--encoder", "other")
    one_sentence(result, "built with the encoder 'toy'", "shotwise index build")


def test_foreign_adapter(shotwise, home):
    model, adapter = home / "model", home / "adapter"
    for folder in (model, adapter):
        folder.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    save_file({"x": np.zeros(1, dtype=np.float32)}, model / "model.safetensors")
    config = {"peft_type": "LORA", "base_model_name_or_path": "someone/else-7b", "r": 4, "target_modules": ["q_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    pair = {name.format(side): np.zeros(shape, dtype=np.float32) for side, shape in (("A", (4, 8)), ("B", (8, 4)))}
    save_file(pair, adapter / "adapter_model.safetensors")
    for command in (["ask"], ["prompt", "zero-shot"]):
        result = shotwise(*command, "x", "--model", str(model), "--adapter", str(adapter))
        one_sentence(result, "trained for base model someone/else-7b", "--model someone/else-7b")


def test_unknown_strategy(shotwise):
    one_sentence(shotwise("ask", "x", "--strategy", "dynamic-fewshot", "--model", "scripted"), "dynamic-few-shot")
    one_sentence(shotwise("prompt", "zero", "x", "--model", "scripted"), "zero-shot")
    one_sentence(shotwise("compare", "x", "--strategies", "zero-shot,nope", "--model", "scripted"), "nope")


def test_corrupt_manifest(shotwise, toy):
    manifest = toy.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"count": 8', '"count": 9'))
    one_sentence(shotwise("index", "search", "toy", "x"), "changed after it was written", "shotwise index build")
    manifest.write_text("{")
    one_sentence(shotwise("index", "show", "toy"), "not readable JSON", "shotwise index build SOURCE --name toy")


def test_port_taken(shotwise):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one_sentence(shotwise("serve", "--port", str(port), "--model", "scripted"), str(port))


def test_a_model_that_is_not_there_is_noticed_before_an_index_is_built(shotwise, home):
    arguments = ["x", "--strategy", "dynamic-few-shot", "--model", "./no/such/folder"]
    one_sentence(shotwise("ask", *arguments), "./no/such/folder")
    assert not (home / "indexes").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("idnex", "list"),
        ("index", "biuld"),
        ("index",),
        ("ask",),
        ("ask", "x", "--no-such-option"),
        ("ask", "x", "-k", "many"),
        ("ask", "x", "-k", "1000", "--model", "scripted"),
        ("ask", "x", "--temperature", "nan", "--model", "scripted"),
        ("ask", "x", "--order", "upwards", "--model", "scripted"),
        ("ask", "x", "--reading", "aloud", "--model", "scripted"),
        ("ask", "x", "--dtype", "float8"),
        ("ask", "x", "--load-in", "2bit"),
        ("ask", "x", "--wording", "rude", "--model", "scripted"),
        ("ask", "", "--model", "scripted"),
        ("ask", "x", "--task", "paraphrase", "--model", "scripted"),
        ("ask", "x", "--model", "./no/such/folder"),
        ("ask", "x", "--strategy", "imdb-baseline", "--model", "scripted"),
        ("ask", "x", "--strategy", "dynamic-few-shot", "--task", "topic", "--model", "scripted"),
        ("ask", "x", "--strategy", "zero-shot", "--index", "nope", "--model", "scripted"),
        ("compare", "x", "--strategies", ",", "--model", "scripted"),
        ("task", "show", "sentimnt"),
        ("index", "build", "no-such-file.csv", "--name", "q"),
        ("index", "build", ".", "--name", "q"),
        ("index", "build", "pyproject.toml", "--name", "q"),
        ("index", "delete", "nope", "--yes"),
        ("serve", "--port", "0"),
    ],
    ids=" ".join,
)
def test_other_mistakes_are_one_sentence_too(arguments, shotwise):
    one_sentence(shotwise(*arguments))


def test_a_mistake_in_a_real_process_has_exit_code_2_and_no_traceback(home):
    command = [sys.executable, "-m", "assistant.cli", "ask", "x", "--strategy", "nope"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SHOTWISE_HOME": str(home)})
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("There is no strategy named 'nope'.")


def test_a_reader_that_leaves_is_no_error(toy, home):
    command = f"{sys.executable} -m assistant.cli index search toy film -k 8 --json | head -c 1"
    env = {**os.environ, "SHOTWISE_HOME": str(home)}
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, env=env)
    assert (done.stdout, done.stderr) == ("[", "")


def test_interruption_is_one_word(shotwise, monkeypatch):
    def interrupted(self, request):
        raise KeyboardInterrupt

    monkeypatch.setattr("assistant.answering.Assistant.answer", interrupted)
    code, _, err = shotwise("ask", "x", "--model", "scripted", "--json")
    assert (code, err.strip()) == (130, "Stopped.")


# Indexes


def test_the_name_of_a_built_in_index_is_not_given_to_other_rows(shotwise, home):
    table = str(write_reviews(home))
    assert "name of a built-in index" in one_sentence(shotwise("index", "build", table, "--name", "pairs"))
    own = str(paths.demo() / "data" / "pairs.jsonl")
    assert shotwise("index", "build", own, "--name", "pairs", "--task", "paraphrase", "--encoder", "toy")[0] == 0


def test_index_build_reports_bad_rows_by_line_and_uses_the_tasks_labels(shotwise, home):
    table = write_reviews(home)
    table.write_text(table.read_text() + '{"id": "x", "text": "", "label": 1}\n{"id": "y", "text": "ok", "label": 7}\n')
    code, out, err = shotwise("index", "build", str(table), "--name", "sst", "--task", "sentiment", "--encoder", "toy")
    assert code == 0
    assert "8 rows" in out
    assert "2 bad rows skipped" in out
    assert "line 9: the field 'text' is empty" in err
    assert "line 10: '7' in 'label' is not a label of the task" in err
    _, out, _ = shotwise("index", "search", "sst", "a dull film", "-k", "1", "--json")
    assert json.loads(out)[0]["label"] == "negative"


def test_only_twenty_bad_rows_are_listed(shotwise, home):
    table = write_reviews(home, [*REVIEWS, *((f"e{n}", "", 0) for n in range(30))])
    code, out, err = shotwise("index", "build", str(table), "--name", "q", "--encoder", "toy", "--json")
    assert code == 0
    assert sum(line.startswith("line ") for line in err.splitlines()) == 20
    assert "… and 10 more bad rows." in err
    assert len(json.loads(out)["bad_rows"]) == 30


def test_strict_stops_at_the_first_bad_row(shotwise, home):
    table = write_reviews(home, [*REVIEWS, ("e", "", 0)])
    code, out, err = shotwise("index", "build", str(table), "--name", "q", "--encoder", "toy", "--strict")
    assert (code, out) == (2, "")
    assert "Line 9" in err.splitlines()[-1]


def test_index_search_json_is_a_list_of_hits_with_the_sources_own_names(shotwise, home):
    table = str(write_reviews(home))
    given = ["--input", "text", "--output", "label", "--encoder", "toy"]
    assert shotwise("index", "build", table, "--name", "raw", *given)[0] == 0
    code, out, _ = shotwise("index", "search", "raw", "a gorgeous , witty film", "-k", "4", "--json")
    hits = json.loads(out)
    assert code == 0
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    assert hits[0] | {"similarity": 0} == {
        "id": "r1", "similarity": 0, "rank": 1, "text": "a gorgeous witty film", "output": "1", "label": "1",
    }  # fmt: skip
    assert [hit["similarity"] for hit in hits] == sorted((hit["similarity"] for hit in hits), reverse=True)


def test_index_list_show_verify_and_delete(shotwise, toy):
    assert [one["name"] for one in json.loads(shotwise("index", "list", "--json")[1])] == ["toy"]
    assert "toy" in shotwise("index", "list")[1]
    shown = json.loads(shotwise("index", "show", "toy", "--json")[1])
    assert (shown["count"], shown["task"], shown["fields"]["output"]) == (8, "sentiment", "label")
    assert "8 rows" in shotwise("index", "show", "toy")[1]
    assert json.loads(shotwise("index", "verify", "toy", "--json")[1]) == {"name": "toy", "ok": True, "problems": []}
    code, out, _ = shotwise("index", "delete", "toy", "--json")
    assert (code, json.loads(out)["deleted"]) == (0, "toy")
    assert json.loads(shotwise("index", "list", "--json")[1]) == []


@pytest.mark.parametrize(("said", "kept"), [("n\n", ["toy"]), ("y\n", [])])
def test_index_delete_asks_at_a_terminal(said, kept, toy, monkeypatch, capsys):
    terminal = io.StringIO(said)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    assert run(("index", "delete", "toy")) == 0
    assert "Delete " in capsys.readouterr().err
    assert [one.name for one in list_indexes()] == kept


def test_index_verify_finds_a_flipped_byte(shotwise, toy):
    vectors = toy.folder / "vectors.f32"
    data = bytearray(vectors.read_bytes())
    data[100] ^= 1
    vectors.write_bytes(data)
    code, out, err = shotwise("index", "verify", "toy")
    assert (code, out) == (2, "")
    assert "vectors.f32" in err
    code, out, _ = shotwise("index", "verify", "toy", "--json")
    assert code == 2
    assert json.loads(out)["ok"] is False


# Tables


def test_strategy_list_json_is_the_table(shotwise):
    rows = json.loads(shotwise("strategy", "list", "--json")[1])
    assert [row["name"] for row in rows] == list(STRATEGIES)
    keys = {"name", "title", "about", "selector", "reasoning", "samples", "template", "source", "needs_index"}
    keys |= {"order", "random_labels"}
    assert all(set(row) == keys for row in rows)
    assert all(name in shotwise("strategy", "list")[1] for name in STRATEGIES)


def test_task_list_and_show(shotwise):
    assert [row["name"] for row in json.loads(shotwise("task", "list", "--json")[1])] == list(task_names())
    shown = json.loads(shotwise("task", "show", "sentiment", "--json")[1])
    assert shown["labels"] == ["negative", "positive"]
    assert shown["label_values"]["0"] == "negative"
    assert "labels   negative, positive" in shotwise("task", "show", "sentiment")[1]


# Questions


def test_prompt_prints_the_exact_prompt_and_keeps_the_copy_out(shotwise, toy):
    code, out, err = shotwise("prompt", "dynamic-few-shot", "a gorgeous witty film", *SENTIMENT, "-k", "2")
    assert code == 0
    assert out.startswith("<s><|system|>\n")
    assert out.endswith("<|user|>\nReview: a gorgeous witty film</s>\n<|assistant|>\n\n")
    assert "Kept out: r1, the same text as the question" in err
    record = json.loads(shotwise("prompt", "dynamic-few-shot", "a gorgeous witty film", *SENTIMENT, "--json")[1])
    assert {"prompt", "messages", "demonstrations", "excluded", "dropped", "prompt_tokens"} <= set(record)
    assert [kept["id"] for kept in record["excluded"]] == ["r1"]


def test_ask_puts_the_answer_on_stdout_and_the_rest_on_stderr(shotwise, toy):
    code, out, err = shotwise("ask", "a witty film", *SENTIMENT, "--strategy", "dynamic-few-shot", "-k", "1")
    assert (code, out) == (0, "positive\n")
    assert "Demonstrations: r1 (0." in err


def test_ask_shows_reasoning_on_stderr(shotwise):
    code, out, err = shotwise(
        "ask", "a witty film", "--task", "sentiment", "--strategy", "static-cot", "--model", "scripted"
    )
    assert (code, out) == (0, "positive\n")
    assert "The praise outweighs the complaint." in err


def test_ask_reads_stdin(shotwise):
    assert shotwise("ask", "-", "--model", "scripted", stdin="from a pipe\n")[1] == "from a pipe\n"


def test_ask_json_is_the_answers_contract(shotwise, toy):
    out = shotwise("ask", "a witty film", *SENTIMENT, "--strategy", "dynamic-few-shot", "--seed", "3", "--json")[1]
    answer = json.loads(out)
    wanted = "strategy, task, model, adapter, answer, final_answer, demonstrations, excluded, calls, seed"
    assert set(wanted.split(", ")) <= set(answer)
    assert (answer["strategy"], answer["task"], answer["model"], answer["adapter"]) == (
        "dynamic-few-shot", "sentiment", "scripted", None,
    )  # fmt: skip
    assert (answer["final_answer"], answer["seed"], answer["index"]) == ("positive", 3, "toy")
    assert {"id", "similarity", "rank", "text", "output"} <= set(answer["demonstrations"][0])
    (call,) = answer["calls"]
    assert {"messages", "prompt", "reply", "prompt_tokens", "new_tokens", "seconds"} <= set(call)


def test_compare_json_is_a_list_of_answers_in_the_order_asked(shotwise, toy):
    names = ["static-cot", "zero-shot", "dynamic-few-shot"]
    out = shotwise("compare", "a witty film", *SENTIMENT, "--strategies", ",".join(names), "--json")[1]
    assert [answer["strategy"] for answer in json.loads(out)] == names


def test_compare_says_who_agrees(shotwise, toy):
    code, out, err = shotwise("compare", "a witty film", *SENTIMENT)
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if line.startswith("==")] == [
        "== zero-shot", "== zero-shot-cot", "== static-few-shot", "== dynamic-few-shot",
    ]  # fmt: skip
    assert "agree: positive" in out.splitlines()[-1]


@pytest.mark.parametrize("reading", ["generate", "labels"])
def test_compare_needs_no_index_where_the_task_has_none(shotwise, home, reading):
    code, out, _ = shotwise("compare", "Shares fell", "--task", "topic", "--model", "scripted", "--reading", reading)
    assert code == 0
    shown = [line[3:] for line in out.splitlines() if line.startswith("==")]
    wanted = ["zero-shot", "zero-shot-cot", "static-few-shot", "static-cot"]
    assert shown == (wanted if reading == "generate" else wanted[:3])


def test_label_reading_shows_the_likelihoods(shotwise, toy):
    arguments = [*SENTIMENT, "--strategy", "dynamic-few-shot", "--reading", "labels", "-k", "1"]
    code, out, err = shotwise("ask", "a witty film", *arguments)
    assert (code, out) == (0, "positive\n")
    assert "Log-likelihood: negative -2.30, positive -0.11" in err


def test_chat_reads_a_pipe_obeys_commands_and_survives_mistakes(shotwise, toy):
    lines = [
        "hello there",
        "/strategy zro-shot",
        "/k many",
        "/nonsense",
        "/task sentiment",
        "/index toy",
        "/strategy dynamic-few-shot",
        "/k 1",
        "a witty film",
        "/prompt",
        "/quit",
        "never read",
    ]
    code, out, err = shotwise("chat", "--model", "scripted", stdin="\n".join(lines))
    assert code == 0
    assert out.splitlines()[:2] == ["hello there", "positive"]
    assert "Review: a witty film</s>" in out
    assert "never read" not in out
    assert "Did you mean zero-shot" in err
    assert "'many' is not a number" in err
    assert "no command named '/nonsense'" in err


def test_chat_remembers_what_was_said_until_it_is_told_to_forget(shotwise):
    out = shotwise("chat", "--model", "scripted", stdin="first\nsecond\n/prompt\n/clear\nthird\n/prompt\n")[1]
    before, after = out.split("\nthird\n", 1)
    assert "<|user|>\nfirst</s>\n<|assistant|>\nfirst</s>\n<|user|>\nsecond</s>" in before
    assert "first" not in after


def test_rationales_of_an_index_are_shown(shotwise, home):
    make_problems(home)
    arguments = ["--task", "word-problems", "--index", "problems", "--model", "scripted", "-k", "1"]
    code, out, err = shotwise("ask", "Dan has 6 cups and buys 1. How many?", *arguments, "--strategy", "dynamic-cot")
    assert (code, out) == (0, "7\n")
    assert "3 and 4 make 7." in err


def test_a_missing_built_in_index_is_built_and_said(shotwise, monkeypatch):
    monkeypatch.setitem(encoders._loaded, encoders.DEFAULT, _Packaged())
    arguments = ["--task", "sentiment", "--model", "scripted", "--strategy", "dynamic-few-shot"]
    code, _, err = shotwise("ask", "a witty film", *arguments)
    assert code == 0
    assert "Building the built-in index 'reviews' (once)." in err
    assert [one["name"] for one in json.loads(shotwise("index", "list", "--json")[1])] == ["reviews"]
    assert "Building" not in shotwise("ask", "a witty film", *arguments)[2]


class _Packaged(ToyEncoder):
    """The toy under the default encoder's name."""

    name = encoders.DEFAULT

    def describe(self):
        return {**super().describe(), "name": self.name, "sha256": encoders.known_identity(self.name)}


# Live text


def test_live_text_prints_only_what_is_new_and_nothing_half_written():
    stream = io.StringIO()
    live = LiveText(stream, live=True)
    for text in ("Hel", "Hello", "Hello \ufffd", "Hello é"):
        live.grow(text)
    live.end("Hello é!")
    assert stream.getvalue() == "Hello é!\n"


def test_live_text_that_changes_is_printed_anew():
    stream = io.StringIO()
    live = LiveText(stream, live=True)
    live.grow("12")
    live.end("13")
    assert stream.getvalue() == "12\n13\n"


def test_text_for_programs_is_printed_once():
    stream = io.StringIO()
    live = LiveText(stream)
    live.grow("12")
    live.end("13")
    assert stream.getvalue() == "13\n"
