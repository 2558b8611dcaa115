"""THE TABLE of losses for sentence encoders: what rows each needs, and what it draws together and apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assistant.errors import UnknownName

LABELS, PAIRS = "labels", "pairs"
BY_LABEL = "group_by_label"
"""The sampler whose batches have two rows at least of each of two labels at least."""


@dataclass(frozen=True)
class Loss:
    """One loss of sentence-transformers: from which rows it learns, and what it does with them."""

    name: str
    kind: str
    """`sentence-transformers`' own name of the class."""
    rows: str
    """`labels`: single texts with labels; `pairs`: two texts that are alike or not."""
    sampler: str
    """How its batches are made, as sentence-transformers names it."""
    about: str
    source: str


LOSSES: Mapping[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(
            "batch-hard",
            kind="BatchHardSoftMarginTripletLoss",
            rows=LABELS,
            sampler=BY_LABEL,
            about="Of every batch, each text is drawn to its farthest fellow and away from its nearest stranger.",
            source="Hermans et al. 2017, In Defense of the Triplet Loss for Person Re-Identification",
        ),
        Loss(
            "contrastive",
            kind="OnlineContrastiveLoss",
            rows=LABELS,
            sampler="batch_sampler",
            about="Pairs of texts are drawn by label; like ones that are far and unlike ones that are near count.",
            source="Hadsell et al. 2006; drawing pairs from labels as SetFit, Tunstall et al. 2022",
        ),
        Loss(
            "cosent",
            kind="CoSENTLoss",
            rows=PAIRS,
            sampler="batch_sampler",
            about="Pairs that are alike should have a higher cosine than pairs that are not.",
            source="Su 2022, CoSENT; the default of sentence-transformers",
        ),
        Loss(
            "ranking",
            kind="MultipleNegativesRankingLoss",
            rows=PAIRS,
            sampler="no_duplicates",
            about="Of the pairs that are alike, the partner should be nearer than all other partners of the batch.",
            source="Henderson et al. 2017",
        ),
    )
}
DEFAULTS = {LABELS: "batch-hard", PAIRS: "cosent"}
"""Rows → the loss that is used where none is named."""


def find_loss(name: str) -> Loss:
    """Return the loss of that name.

    Raises:
        UnknownName: with the nearest names and the whole list.
    """
    if name not in LOSSES:
        raise UnknownName("loss of an encoder", name, LOSSES)
    return LOSSES[name]
