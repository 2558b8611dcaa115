"""With the packaged encoder: its vectors are those that retrieval uses, and figures come from rows it has not seen."""

import numpy as np
import pytest

from assistant.evaluation.training.rows import WantedRows, read_parts
from assistant.evaluation.training.scoring import scored
from assistant.finetuning.classifiers.base import PUBLIC_NAME, find_base
from assistant.finetuning.classifiers.saved import open_classifier
from assistant.finetuning.classifiers.settings import ClassifierSettings
from assistant.finetuning.classifiers.training import load_features_body, train_classifier
from assistant.retrieval.encoders import load_encoder

SETTINGS = ClassifierSettings(method="feature-based", max_tokens=64, device="cpu")


def test_vectors_of_texts_are_those_that_retrieval_uses():
    texts = ["A gorgeous, witty film.", "I wanted my money back after ten minutes of this.", "ok"]
    body = load_features_body(find_base("default"), SETTINGS)
    ours = body.vectors([{"text": text} for text in texts], ("text",))
    assert np.allclose(ours, load_encoder().encode(texts), atol=1e-5)


def test_the_card_keeps_the_figures_of_rows_that_were_not_learnt():
    parts = read_parts(WantedRows("reviews", dev=30, test=60))
    saved = train_classifier(parts.training_rows(), SETTINGS, "reviews")
    figures = scored("reviews", parts.test, parts.task, "reviews", "cpu")
    assert figures["n"] == 60
    assert figures["roc_auc"] > 0.55
    assert figures["accuracy"] == pytest.approx(sum(figures["confusion"]["counts"][at][at] for at in range(2)) / 60)
    assert open_classifier("reviews").record["scores"]["reviews"] == figures
    assert saved.record["base"]["public_name"] == PUBLIC_NAME
