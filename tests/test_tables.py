"""Rows in, demonstrations out: every format, every kind of bad row, every slip of the pen."""

import gzip
import json
import random
from pathlib import Path

import pytest

from assistant.data import BadRow, Fields, guess_fields, open_source, read_demonstrations
from assistant.errors import DataError
from assistant.prompting.tasks import load_task
from assistant.retrieval.index import build_index

TEXT_AND_LABEL = Fields(("text",), "label")
ROWS = [{"text": "a gorgeous film", "label": "1"}, {"text": "dull, and 'long'", "label": "0"}]


def read(location, fields=TEXT_AND_LABEL, **options):
    bad: list[BadRow] = []
    good = list(read_demonstrations(open_source(str(location)), fields, bad=bad, **options))
    return good, bad


def as_csv(rows):
    return "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in rows)


def as_tsv(rows):
    return "text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in rows)


def as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "written"),
    [("a.csv", as_csv), ("a.tsv", as_tsv), ("a.jsonl", as_lines), ("a.json", as_lines), ("a.ndjson", as_lines)],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_text_format_gives_the_same_rows(tmp_path, name, written, packed):
    content = written(ROWS).encode()
    path = tmp_path / (name + ".gz" if packed else name)
    path.write_bytes(gzip.compress(content) if packed else content)
    good, bad = read(path)
    assert [(row.inputs["text"], row.output) for row in good] == [(row["text"], row["label"]) for row in ROWS]
    assert bad == []
    assert open_source(str(path)).count() == 2


def test_parquet_gives_the_same_rows(tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    good, bad = read(path)
    assert [row.inputs["text"] for row in good] == [row["text"] for row in ROWS]
    assert bad == []
    assert open_source(str(path)).count() == 2


def test_a_parquet_row_that_is_not_utf8_costs_one_row(tmp_path):
    import pyarrow
    import pyarrow.parquet

    broken = pyarrow.array([b"fine", b"\xff\xfe", b"fine too"]).view(pyarrow.string())
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": broken, "label": ["1", "0", "1"]}), path)
    good, bad = read(path)
    assert [row.id for row in good] == ["row-1", "row-3"]
    assert bad == [BadRow(2, "invalid UTF-8")]


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (0, "0"), (True, "true"), (False, "false"), (2.0, "2"), (0.5, "0.5"), ("yes", "yes")]
)
def test_labels_may_be_numbers_or_booleans(tmp_path, value, text):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "x", "label": value}))
    assert read(path)[0][0].output == text


def test_labels_are_mapped_to_names_whatever_their_case(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(as_lines([{"text": "x", "label": "POS"}, {"text": "y", "label": 0}, {"text": "z", "label": "?"}]))
    good, bad = read(path, labels={"pos": "positive", "0": "negative"})
    assert [row.output for row in good] == ["positive", "negative"]
    assert bad[0].line == 3
    assert "not a label" in bad[0].reason


def test_integers_that_a_spreadsheet_wrote_with_a_fraction_are_the_tasks_labels(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfine,1.0\ndull,0.00\nodd,1.5\n")
    good, bad = read(path, labels={"1": "positive", "0": "negative"})
    assert [row.output for row in good] == ["positive", "negative"]
    assert bad == [BadRow(4, "'1.5' in 'label' is not a label of the task (positive, negative)")]
    unmapped, _ = read(path)
    assert load_task("sentiment").adapt(unmapped[0]).output == "positive"


BAD_LINES = [
    (b'{"text": "no label"}', "missing"),
    (b'{"text": null, "label": 1}', "missing"),
    (b'{"text": NaN, "label": 1}', "missing"),
    (b'{"text": "  ", "label": 1}', "empty"),
    (b'{"text": "\xff\xfe", "label": 1}', "UTF-8"),
    (b'{"text": "a\\u0000b", "label": 1}', "NUL"),
    (b'{"text": "a\\ud800b", "label": 1}', "surrogate"),
    (b'{"text": ["a"], "label": 1}', "not text"),
    (b'{"text": "a", "label": {}}', "not text"),
    (b'["text", "label"]', "not a JSON object"),
    (b'"text"', "not a JSON object"),
    (b'{"text": "torn', "broken JSON"),
    (b"[" * 100_000, "broken JSON"),
    (b'{"text": ' + b"9" * 5000 + b"}", "broken JSON"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_named_and_skipped(tmp_path, line, reason):
    path = tmp_path / "a.jsonl"
    fine = b'{"text": "fine", "label": 1}\n'
    path.write_bytes(fine + b"\n" + line + b"\n" + fine)
    good, bad = read(path)
    assert [row.id for row in good] == ["row-1", "row-4"]
    assert [row.line for row in bad] == [3]
    assert reason in bad[0].reason


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_strict_stops_at_the_first_bad_line(tmp_path, line, reason):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "fine", "label": 1}\n' + line + b"\n")
    with pytest.raises(DataError, match=r"Line 2 of 'a\.jsonl'"):
        read(path, strict=True)


def test_the_second_row_with_an_id_is_bad(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(as_lines([{"id": name, **ROWS[0]} for name in ("a", "b", "a")]))
    good, bad = read(path)
    assert [row.id for row in good] == ["a", "b"]
    assert bad == [BadRow(3, "the id 'a' occurs twice")]


def test_a_named_id_column_is_preferred_to_the_usual_one(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(as_lines([{"id": "a", "key": 7, "film": "m1", "why": "because", **ROWS[0]}]))
    good, _ = read(path, Fields(("text",), "label", rationale="why", id="key", group="film"))
    assert (good[0].id, good[0].group, good[0].rationale) == ("7", "m1", "because")


def test_limit_counts_good_rows(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("broken\n" + as_lines(ROWS * 5))
    assert len(read(path, limit=3)[0]) == 3


def test_csv_quirks_byte_order_mark_quotes_and_line_breaks(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'\xef\xbb\xbftext,label\r\n"two\nlines, ""quoted""",1\r\n\r\nshort\r\nlong,1,2\r\nlast,0\r\n\xff,1\r\n'
    )
    good, bad = read(path)
    assert good[0].inputs["text"] == 'two\nlines, "quoted"'
    assert [row.id for row in good] == ["row-2", "row-7"]
    assert [(row.line, row.reason) for row in bad] == [
        (5, "the field 'label' is missing"),
        (6, "3 cells under 2 columns"),
        (8, "invalid UTF-8"),
    ]


def test_a_spreadsheets_table_is_read_with_its_nameless_columns_and_its_ending_in_capitals(tmp_path):
    table = tmp_path / "TABLE.CSV"
    table.write_text("text,label,,\ngood,1,,\n", encoding="utf-8")
    source = open_source(str(table))
    assert source.columns() == ("text", "label")
    assert [(row.inputs, row.output) for row in read_demonstrations(source, TEXT_AND_LABEL, bad=[])] == [
        ({"text": "good"}, "1")
    ]


def test_csv_with_semicolons_is_understood(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text;label\nfine, really;1\n")
    assert read(path)[0][0].inputs["text"] == "fine, really"


def test_a_quote_left_open_costs_rows_but_not_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,label\nfine,1\n"open,1\n' + "filler,0\n" * 20_000)
    good, bad = read(path)
    assert good[0].inputs["text"] == "fine"
    assert bad[0].line == 3
    assert len(good) > 1


def test_in_tsv_a_quote_is_an_ordinary_character(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\n"a lonely quote\t1\nnext\t0\n')
    assert [row.inputs["text"] for row in read(path)[0]] == ['"a lonely quote', "next"]


def test_a_wrong_field_names_the_columns_and_the_nearest(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(as_lines(ROWS))
    with pytest.raises(DataError) as caught:
        read(path, Fields(("txt",), "label"))
    assert "'txt'" in str(caught.value)
    assert "Did you mean text?" in caught.value.hint
    assert "text, label" in caught.value.hint


@pytest.mark.parametrize("name", ["id", "rank", "similarity", "output"])
def test_an_input_may_not_take_the_name_of_a_part_of_a_hit(tmp_path, name):
    path = tmp_path / "a.jsonl"
    path.write_text(as_lines([{name: "x", **ROWS[0]}]))
    with pytest.raises(DataError, match=f"'{name}' cannot be an input"):
        read(path, Fields(("text", name), "label"))


@pytest.mark.parametrize("content", ["", "\n\n", "broken\nbroken\n", '{"text": "", "label": ""}\n'])
def test_a_source_without_one_good_row_is_an_error(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(DataError):
        read(path)


@pytest.mark.parametrize("content", ["", "text,label\n"])
def test_an_empty_csv_is_an_error(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match="no rows"):
        read(path)


def test_a_missing_file_is_named_with_the_nearest(tmp_path):
    (tmp_path / "train.jsonl").write_text("{}")
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path / "trian.jsonl"))
    assert "no file" in str(caught.value)
    assert "train.jsonl" in caught.value.hint


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(DataError, match="not a kind of table"):
        open_source(str(tmp_path / "a.pdf"))
    with pytest.raises(DataError, match="folder"):
        open_source(str(tmp_path))


def test_a_json_array_is_refused_with_advice(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(ROWS, indent=1))
    with pytest.raises(DataError, match="one JSON array") as caught:
        read(path)
    assert "JSON Lines" in caught.value.hint


def test_torn_gzip_and_parquet_are_errors_of_the_source(tmp_path):
    whole = gzip.compress(as_lines(ROWS * 500).encode())
    (tmp_path / "torn.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "fake.jsonl.gz").write_bytes(b"not gzip")
    (tmp_path / "fake.parquet").write_bytes(b"not parquet")
    for name in ("torn.jsonl.gz", "fake.jsonl.gz", "fake.parquet"):
        with pytest.raises(DataError):
            read(tmp_path / name)


def test_without_the_hub_one_sentence_says_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError) as caught:
        list(open_source("someone/reviews").rows())
    assert "hub cannot be reached" in str(caught.value)
    assert "no such file" in caught.value.hint


def test_a_hub_data_set_is_streamed(monkeypatch):
    import datasets

    asked = []

    def load_dataset(name, split, streaming):
        asked.append((name, split, streaming))
        return datasets.Dataset.from_list(
            [{"text": "fine", "label": 1}, {"text": "", "label": 0}]
        ).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("assistant.hub_tables.hub_reachable", lambda: True)
    bad: list[BadRow] = []
    source = open_source("someone/reviews", split="test")
    good = list(read_demonstrations(source, TEXT_AND_LABEL, bad=bad))
    assert asked == [("someone/reviews", "test", True)]
    assert [(row.id, row.output) for row in good] == [("row-1", "1")]
    assert bad == [BadRow(2, "the field 'text' is empty")]
    assert source.columns() == ("text", "label")


def test_a_hub_that_breaks_off_is_at_fault_and_not_the_index(monkeypatch, tmp_path):
    class Broken:
        features = ("text", "label")

        def __iter__(self):
            yield ROWS[0]
            raise ConnectionError("Server Disconnected")

    monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path))
    source = open_source("someone/reviews")
    monkeypatch.setattr(source, "_opened", Broken())
    with pytest.raises(DataError, match="broke off after row 1 of the data set 'someone/reviews': Server"):
        build_index(source, "reviews", TEXT_AND_LABEL, encoder="toy")


def test_a_split_of_a_file_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text(as_lines(ROWS))
    with pytest.raises(DataError, match="no splits"):
        open_source(str(tmp_path / "a.jsonl"), split="test")


def test_the_fingerprint_is_of_the_content(tmp_path):
    for name, rows in (("a.jsonl", ROWS), ("b.jsonl", ROWS), ("c.jsonl", ROWS[::-1])):
        (tmp_path / name).write_text(as_lines(rows))
    prints = [open_source(str(tmp_path / name)).fingerprint for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    assert prints[0] == prints[1] != prints[2]


def test_a_line_of_many_megabytes_is_one_bad_row(tmp_path, monkeypatch):
    monkeypatch.setattr("assistant.tables.LONGEST_LINE", 1000)
    path = tmp_path / "a.jsonl"
    path.write_text(as_lines([ROWS[0], {"text": "x" * 5000, "label": 1}, ROWS[1]]))
    good, bad = read(path)
    assert [row.id for row in good] == ["row-1", "row-3"]
    assert [row.line for row in bad] == [2]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_line_of_many_megabytes_is_one_bad_row_of_a_delimited_table_too(tmp_path, monkeypatch, ending):
    monkeypatch.setattr("assistant.tables.LONGEST_LINE", 1000)
    path = tmp_path / f"a.{ending}"
    path.write_text((as_csv if ending == "csv" else as_tsv)([ROWS[0], {"text": "x" * 5000, "label": 1}, ROWS[1]]))
    good, bad = read(path)
    assert [row.id for row in good] == ["row-2", "row-4"]
    assert bad == [BadRow(3, "the line is longer than 16 MiB")]
    assert open_source(str(path)).count() == 3


def test_a_long_line_inside_a_quoted_cell_does_not_shorten_the_cell(tmp_path, monkeypatch):
    monkeypatch.setattr("assistant.tables.LONGEST_LINE", 1000)
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"one\n' + "x" * 5000 + '\nthree",1\nfine,0\n')
    good, bad = read(path)
    assert [row.inputs["text"] for row in good] == ["fine"]
    assert [row.line for row in bad] == [2]


def test_a_row_without_a_rationale_is_still_a_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("question,answer,solution\n3 and 4?,7,They make 7.\n5 and 1?,6,\n1 and 1?,2,  \n")
    good, bad = read(path, guess_fields(("question", "answer", "solution")))
    assert [row.rationale.strip() for row in good] == ["They make 7.", "", ""]
    assert bad == []


def test_fields_are_guessed_from_the_task_or_from_usual_names():
    assert guess_fields(("id", "text", "label")) == Fields(("text",), "label")
    assert guess_fields(("sentence1", "sentence2", "label")).inputs == ("sentence1", "sentence2")
    assert guess_fields(("problem", "answer", "rationale"), ("problem",)) == Fields(("problem",), "answer", "rationale")
    with pytest.raises(DataError, match="Which column"):
        guess_fields(("a", "b"))


def test_any_fuzzed_line_is_survived_and_counted(tmp_path):
    draw = random.Random(0)
    base = as_lines([{"id": str(n), "text": f"row {n} ünïcode", "label": n % 2} for n in range(3000)]).encode()
    damaged = bytearray(base)
    for _ in range(1500):
        damaged[draw.randrange(1, len(damaged))] = draw.randrange(256)
    damaged[0] = ord("{")
    path = tmp_path / "a.jsonl"
    path.write_bytes(damaged)
    first, second = read(path), read(path)
    assert first == second
    lines = sum(1 for line in bytes(damaged).split(b"\n") if line.strip())
    assert len(first[0]) + len(first[1]) == lines
    assert len(first[0]) > 500


@pytest.mark.shared
def test_real_tables_are_read_whole():
    data = Path(__file__).parents[2] / "shared" / "data"
    if not data.is_dir():
        pytest.skip("no ../shared")
    good, bad = read(data / "sst2" / "train_sentences.jsonl.gz", guess_fields(("text", "label")))
    assert (len(good), bad) == (6920, [])


def test_a_table_without_columns_is_told_as_such():
    with pytest.raises(DataError, match="has no columns: it is empty, or not a table"):
        guess_fields(())
