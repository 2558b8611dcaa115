"""Indexes: exact against brute force, whole after a round trip, refused when damaged or foreign."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.data import Fields
from assistant.errors import (
    DataError,
    IndexDamaged,
    IndexMismatch,
    IndexNotFound,
    IndexProblem,
    MissingDependency,
    SettingError,
    UnknownName,
)
from assistant.retrieval.encoders import ToyEncoder
from assistant.retrieval.index import (
    DemonstrationIndex,
    build_index,
    delete_index,
    describe_index,
    list_indexes,
    verify_index,
)
from assistant.retrieval.manifest import parse_manifest

from .conftest import FIELDS, UnnormalisedEncoder

QUESTIONS = ["a gorgeous winter", "trains", "brothers at war", "日本語", "!"]
SHARED = Path(__file__).parents[3] / "shared" / "data"


def brute_force(encoder, texts, question, k):
    rows = encoder.encode(texts).astype(np.float64)
    asked = encoder.encode([question])[0].astype(np.float64)
    cosines = rows @ asked / np.linalg.norm(rows, axis=1) / np.linalg.norm(asked)
    distances = ((rows - asked) ** 2).sum(axis=1)
    return np.argsort(-cosines, kind="stable")[:k], np.argsort(distances, kind="stable")[:k], cosines


@pytest.mark.parametrize("encoder", [ToyEncoder(), UnnormalisedEncoder()])
@pytest.mark.parametrize("question", QUESTIONS)
def test_search_equals_brute_force_by_cosine(table, rows, encoder, question):
    build_index(table, "a", FIELDS, encoder=encoder)
    hits = DemonstrationIndex.open("a").search(question, 5, encoder=encoder)
    _, _, cosines = brute_force(encoder, [row["text"] for row in rows], question, 5)
    by_id = {row["id"]: cosine for row, cosine in zip(rows, cosines, strict=True)}
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([hit.similarity for hit in hits], sorted(cosines, reverse=True)[:5], atol=1e-5)
    np.testing.assert_allclose(
        [hit.similarity for hit in hits], [by_id[hit.demonstration.id] for hit in hits], atol=1e-5
    )


@pytest.mark.parametrize("question", QUESTIONS)
def test_search_equals_brute_force_by_distance(table, rows, question):
    encoder = UnnormalisedEncoder()
    build_index(table, "a", FIELDS, encoder=encoder, metric="l2")
    hits = DemonstrationIndex.open("a").search(question, 5, encoder=encoder)
    _, nearest, cosines = brute_force(encoder, [row["text"] for row in rows], question, 5)
    texts = encoder.encode([row["text"] for row in rows])
    asked = encoder.encode([question])[0]
    found = [int(hit.demonstration.id[1:]) for hit in hits]
    distances = ((texts - asked) ** 2).sum(axis=1)
    np.testing.assert_allclose(distances[found], distances[nearest], atol=1e-3)
    np.testing.assert_allclose([hit.similarity for hit in hits], cosines[found], atol=1e-5)


def test_many_questions_at_once_equal_one_at_a_time(index):
    asked = index.encoder.encode([f"question {n} about the sea" for n in range(40)])
    cosines, numbers = index.nearest(asked, 6)
    assert cosines.shape == numbers.shape == (40, 6)
    for at, one in enumerate(asked):
        single, _ = index.nearest(one[None], 6)
        np.testing.assert_allclose(single[0], cosines[at], atol=1e-5)


def test_more_than_there_are_returns_all(index, rows):
    assert len(index.search("film", 1000)) == len(index) == len(rows)
    assert index.search("film", 0) == ()


def test_a_round_trip_keeps_every_field(index, rows):
    for number, row in enumerate(rows):
        kept = index.demonstration(number)
        assert kept.inputs == {"text": row["text"]}
        assert (kept.id, kept.group) == (row["id"], row["film"])
        assert kept.output == ("negative", "positive")[row["label"]]
        assert index.row_of(row["id"]) == number
    assert index.row_of("nobody") is None
    with pytest.raises(IndexError):
        index.demonstration(len(rows))


def test_only_the_inputs_are_embedded(table, rows):
    build_index(table, "plain", Fields(("text",), None), encoder="toy")
    build_index(table, "labelled", Fields(("text",), "label"), encoder="toy")
    every = np.arange(len(rows))
    one, other = (DemonstrationIndex.open(name).vectors(every) for name in ("plain", "labelled"))
    assert np.array_equal(one, other)
    np.testing.assert_allclose(one, ToyEncoder().encode([row["text"] for row in rows]), atol=1e-7)


def test_a_pair_is_embedded_as_both_halves(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("sentence1,sentence2,label\nthe sea,a house,0\n")
    build_index(str(path), "pairs", encoder="toy")
    np.testing.assert_allclose(
        DemonstrationIndex.open("pairs").vectors([0])[0], ToyEncoder().encode(["the sea\na house"])[0], atol=1e-7
    )


def test_the_manifest_explains_the_index(index, table):
    record = describe_index("reviews")
    assert record["encoder"]["name"] == "toy"
    assert record["count"] == len(index)
    assert record["fields"]["inputs"] == ["text"]
    assert record["labels"] == {"0": "negative", "1": "positive"}
    assert len(record["source"]["fingerprint"]) == 64
    assert set(record["files"]) == {"rows.jsonl", "offsets.u64", "vectors.f32", "rejected.jsonl"}
    assert {"python", "faiss", "numpy"} <= set(record["versions"])
    assert index.manifest.repair() == (
        f"shotwise index build {table} --name reviews --input text --output label --group film "
        "--encoder toy --metric cosine"
    )


def test_rejected_rows_are_kept_with_line_and_reason(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine", "label": 1}\nbroken\n{"text": "", "label": 0}\n')
    report = build_index(str(path), "a", encoder="toy")
    assert (report.count, [bad.line for bad in report.bad_rows]) == (1, [2, 3])
    kept = [json.loads(line) for line in (report.folder / "gen-000001" / "rejected.jsonl").read_text().splitlines()]
    assert kept == [
        {"line": 2, "reason": "broken JSON"},
        {"line": 3, "reason": "the field 'text' is empty"},
    ]
    assert DemonstrationIndex.open("a").manifest.bad_rows == 2


def test_progress_counts_up_to_the_total(table, rows, monkeypatch):
    monkeypatch.setattr("assistant.retrieval.building._CHARACTERS_PER_PORTION", 100)
    seen = []
    build_index(table, "a", FIELDS, encoder="toy", progress=seen.append)
    assert [told.done for told in seen] == sorted(told.done for told in seen)
    assert (seen[0].done, seen[-1].done) == (0, len(rows))
    assert all(told.total == len(rows) for told in seen)
    assert seen[-1].seconds_left == 0
    assert len(seen) > 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_build_leaves_nothing_behind(table, home, error):
    def stop(told):
        if told.done:
            raise error

    with pytest.raises(error):
        build_index(table, "a", FIELDS, encoder="toy", progress=stop)
    assert not (home / "indexes" / "a").exists()


def test_an_interrupted_rebuild_keeps_the_old_index(index, table, home):
    def stop(told):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(table, "reviews", FIELDS, encoder="toy", limit=3, progress=stop)
    assert len(DemonstrationIndex.open("reviews")) == len(index)
    assert not list((home / "indexes" / "reviews").glob(".*tmp*"))


def test_a_rebuild_replaces_and_two_generations_are_kept(table, home):
    for limit in (3, 4, 5):
        build_index(table, "a", FIELDS, encoder="toy", limit=limit)
    assert len(DemonstrationIndex.open("a")) == 5
    assert sorted(path.name for path in (home / "indexes" / "a").glob("gen-*")) == ["gen-000002", "gen-000003"]


def test_an_index_opened_before_a_rebuild_goes_on_working(index, table):
    for limit in (3, 4, 5):
        build_index(table, "reviews", FIELDS, encoder="toy", limit=limit)
    assert index.demonstration(31).id == "r31"
    assert len(index.search("film", 100)) == 32


def test_no_such_index_names_the_nearest(index):
    with pytest.raises(IndexNotFound, match="Did you mean reviews") as caught:
        DemonstrationIndex.open("review")
    assert "shotwise index build" in caught.value.hint
    for action in (describe_index, verify_index, delete_index):
        with pytest.raises(IndexNotFound):
            action("nothing-like-it")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_name_that_would_leave_the_folder_is_refused(table, name):
    with pytest.raises(SettingError):
        build_index(table, name, FIELDS, encoder="toy")


def test_an_unknown_metric_names_those_there_are(table):
    with pytest.raises(UnknownName, match="cosine, l2"):
        build_index(table, "a", FIELDS, encoder="toy", metric="dot")


def test_a_wrong_field_is_told_before_the_encoder_is_loaded(table):
    with pytest.raises(DataError, match="'txt'"):
        build_index(table, "a", Fields(("txt",), None), encoder="no such encoder")


def test_another_encoder_is_refused_with_the_command_that_repairs_it(index, table):
    class Other(ToyEncoder):
        name = "other"

        def describe(self):
            return {**super().describe(), "name": "other", "sha256": "0" * 64}

    for wrong in (lambda: DemonstrationIndex.open("reviews", Other()), lambda: index.search("x", 1, encoder=Other())):
        with pytest.raises(IndexMismatch, match="was built with the encoder 'toy', not with 'other'") as caught:
            wrong()
        assert caught.value.hint == f"Build it again: {index.manifest.repair('other')}"
        assert "--encoder other" in caught.value.hint


def resigned(folder, **changes):
    """Write a manifest with changes and a checksum that fits, as another program would."""
    path = folder / "manifest.json"
    changed = replace(parse_manifest(path.read_text(), "it"), **changes)
    path.write_text(changed.text())


def test_a_newer_version_of_a_known_encoder_is_a_mismatch_at_opening(index):
    resigned(index.folder, encoder={**index.manifest.encoder, "sha256": "0" * 64})
    with pytest.raises(IndexMismatch, match="another version of the encoder 'toy'") as caught:
        DemonstrationIndex.open("reviews")
    assert "shotwise index build" in caught.value.hint


@pytest.mark.parametrize(
    "change", [{"width": 8}, {"count": 31}, {"count": 0}, {"metric": "dot"}, {"files": {}}, {"schema": 2}]
)
def test_a_manifest_that_contradicts_the_files_is_refused(index, change):
    resigned(index.folder, **change)
    with pytest.raises(IndexDamaged) as caught:
        DemonstrationIndex.open("reviews")
    assert "shotwise index build" in caught.value.hint


def test_embeddings_of_another_width_are_refused(index):
    with pytest.raises(IndexMismatch, match="width 256, not 3"):
        index.nearest(np.ones((1, 3), dtype=np.float32), 1)


@pytest.mark.parametrize("file", ["manifest.json", "rows.jsonl", "offsets.u64", "vectors.f32"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "zero", "remove", "grow", "empty"])
def test_every_damage_is_found_and_told_in_one_sentence(index, file, damage):
    path = index.folder / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "truncate":
        del content[len(content) // 2 :]
    elif damage == "zero":
        content[:64] = bytes(64)
    elif damage == "grow":
        content += b" "
    path.unlink()
    if damage != "remove":
        path.write_bytes(b"" if damage == "empty" else content)
    with pytest.raises(IndexDamaged) as caught:
        DemonstrationIndex.open("reviews")
    assert "\n" not in caught.value.sentence()
    assert "shotwise index build" in caught.value.hint
    assert verify_index("reviews")
    assert list_indexes()[0].problem


def test_every_flipped_bit_is_found(index):
    draw = np.random.default_rng(0)
    for file in ("manifest.json", "rows.jsonl", "offsets.u64", "vectors.f32"):
        path = index.folder / file
        whole = path.read_bytes()
        for at in draw.integers(0, len(whole), size=60):
            torn = bytearray(whole)
            torn[at] ^= 1 << int(draw.integers(0, 8))
            path.write_bytes(torn)
            with pytest.raises(IndexDamaged):
                DemonstrationIndex.open("reviews")
        path.write_bytes(whole)
    assert verify_index("reviews") == []


def test_a_damaged_generation_falls_back_to_the_one_before_and_says_so(index, table):
    build_index(table, "reviews", FIELDS, encoder="toy", limit=5)
    newest = DemonstrationIndex.open("reviews")
    assert (len(newest), newest.notes) == (5, ())
    (newest.folder / "vectors.f32").write_bytes(b"torn")
    older = DemonstrationIndex.open("reviews")
    assert len(older) == len(index)
    assert "gen-000001 is used instead" in older.notes[0]
    assert verify_index("reviews")


@pytest.mark.parametrize("pointer", [None, b"", b"gen-000009\n", b"../../etc\n", b"\xff\xfe"])
def test_a_lost_pointer_is_survived_with_a_note(index, home, pointer):
    path = home / "indexes" / "reviews" / "CURRENT"
    path.unlink()
    if pointer is not None:
        path.write_bytes(pointer)
    found = DemonstrationIndex.open("reviews")
    assert len(found) == len(index)
    assert "CURRENT" in found.notes[0]
    assert any("CURRENT" in problem for problem in verify_index("reviews"))


def test_a_folder_that_is_no_index_is_told_so(home):
    (home / "indexes" / "foreign").mkdir(parents=True)
    with pytest.raises(IndexDamaged, match="holds no index"):
        DemonstrationIndex.open("foreign")
    (home / "indexes" / "foreign" / "thesis.txt").write_text("precious")
    with pytest.raises(IndexProblem, match="holds no index"):
        delete_index("foreign")
    assert (home / "indexes" / "foreign" / "thesis.txt").exists()


def test_an_index_opens_from_a_folder_anywhere(index, tmp_path):
    shutil.copytree(index.folder.parent, tmp_path / "elsewhere")
    assert len(DemonstrationIndex.open(tmp_path / "elsewhere")) == len(index)


def test_delete_deletes(index, home):
    assert delete_index("reviews") == home / "indexes" / "reviews"
    assert not (home / "indexes" / "reviews").exists()
    assert list_indexes() == ()


def test_the_list_tells_name_count_encoder_and_task(table):
    build_index(table, "b", FIELDS, encoder="toy", task="sentiment")
    build_index(table, "a", FIELDS, encoder="toy", limit=3)
    listed = list_indexes()
    assert [(one.name, one.count, one.task, one.encoder) for one in listed] == [
        ("a", 3, None, "toy"),
        ("b", 32, "sentiment", "toy"),
    ]
    assert not any(one.problem for one in listed)


def test_an_encoder_that_gives_nonsense_is_refused(table, home):
    class Broken(ToyEncoder):
        def encode(self, texts):
            return np.full((len(texts), self.width), np.nan, dtype=np.float32)

    with pytest.raises(IndexProblem, match="not finite"):
        build_index(table, "a", FIELDS, encoder=Broken())
    assert not (home / "indexes" / "a").exists()


def test_without_faiss_the_error_says_what_to_install(index, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependency) as caught:
        index.search("film", 1)
    assert "pip install 'shotwise[cpu]'" in caught.value.hint


@pytest.mark.shared
def test_sst2_with_the_real_encoder_equals_brute_force():
    from assistant.retrieval.encoders import load_encoder

    source = SHARED / "sst2" / "train_sentences.jsonl.gz"
    if not source.is_file():
        pytest.skip("no ../shared")
    build_index(str(source), "sst2", Fields(("text",), "label"), limit=600)
    index = DemonstrationIndex.open("sst2")
    texts = [index.demonstration(row).text() for row in range(len(index))]
    reference = load_encoder("default")._model.encode(texts, show_progress_bar=False)
    asked = load_encoder("default")._model.encode(["a gorgeous , witty film"], show_progress_bar=False)[0]
    cosines = reference @ asked
    hits = index.search("a gorgeous , witty film", 10)
    np.testing.assert_allclose([hit.similarity for hit in hits], np.sort(cosines)[::-1][:10], atol=1e-5)
    assert {index.row_of(hit.demonstration.id) for hit in hits} == set(np.argsort(-cosines)[:10].tolist())


class CountingEncoder(ToyEncoder):
    """The toy, remembering what it was asked to embed."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked.append(list(texts))
        return super().encode(texts)


def test_questions_embedded_ahead_are_embedded_once(index):
    encoder = CountingEncoder()
    index.use_encoder(encoder)
    expected = {text: ToyEncoder().encode([text])[0] for text in ("one", "two", "three")}
    index.embed_ahead(["one", "two", "one"])
    index.embed_ahead(["two", "one"])
    assert encoder.asked == [["one", "two"]]
    for text, vector in expected.items():
        assert np.allclose(index.embed(text), vector)
    assert encoder.asked == [["one", "two"], ["three"]]


def test_only_so_many_questions_are_kept(index, monkeypatch):
    monkeypatch.setattr("assistant.retrieval.opened.MOST_KEPT", 2)
    encoder = CountingEncoder()
    index.use_encoder(encoder)
    index.embed_ahead(["one", "two"])
    index.embed_ahead(["three"])
    encoder.asked.clear()
    for text in ("three", "two", "one"):
        index.embed(text)
    assert encoder.asked == [["one"]]
