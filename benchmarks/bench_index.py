"""How fast an index is built and searched, against the libraries beneath it, in one run.

python benchmarks/bench_index.py FILE --input text --rows 2500
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from itertools import islice

from benchlib import interleaved, one_thread, table

one_thread()

import numpy as np  # noqa: E402  (thread counts must be set first)

from assistant.data import Fields, open_source, read_demonstrations  # noqa: E402


def texts_of(file: str, field: str, rows: int) -> list[str]:
    """Return the first texts of a table."""
    found = read_demonstrations(open_source(file), Fields((field,), None), bad=[])
    return [row.text() for row in islice(found, rows)]


def window_texts(encoder, texts: list[str]) -> list[str]:
    """Return the windows of all texts as text again, for the library's own `encode`."""
    ids, _ = encoder._tokenise([text.strip() for text in texts])
    return [encoder._model.tokenizer.decode(row, skip_special_tokens=True) for row in ids]


def bench_encoding(texts: list[str], rounds: int) -> str:
    """Return our encoding against `SentenceTransformer.encode` over the same windows."""
    from assistant.retrieval.encoders import load_encoder

    encoder = load_encoder("default")
    # Each text once, as our encoder would: otherwise it would win by leaving work out.
    texts = list(dict.fromkeys(text.strip() for text in texts))
    windows = window_texts(encoder, texts)
    kept: dict[str, np.ndarray] = {}

    def ours() -> None:
        kept["ours"] = encoder.encode(texts)

    def plain() -> None:
        kept["plain"] = encoder._model.encode(windows, show_progress_bar=False)

    measured = interleaved({"SentenceTransformer.encode": plain, "ours": ours}, "SentenceTransformer.encode", rounds)
    short = [text for text in texts if len(encoder._tokenise([text])[0]) == 1][:200]
    difference = 0.0
    if short:
        reference = encoder._model.encode(short, show_progress_bar=False)
        difference = float(np.abs(encoder.encode(short) - reference).max())
    title = f"Encoding {len(texts)} texts, {len(windows)} windows (largest difference {difference:.1e})"
    return table(title, "windows/s", len(windows), measured)


def bench_searching(file: str, field: str, texts: list[str], rounds: int) -> str:
    """Return retrieval against encoding plus a raw FAISS search."""
    import faiss

    from assistant.records import Query
    from assistant.retrieval.index import DemonstrationIndex, build_index
    from assistant.retrieval.selectors import Pool, select
    from assistant.settings import RetrievalSettings

    build_index(file, "bench", Fields((field,), None), limit=len(texts))
    index = DemonstrationIndex.open("bench")
    encoder = index.encoder
    raw = faiss.IndexFlatIP(index.manifest.width)
    raw.add(index.vectors(np.arange(len(index))))
    questions = [f"{text[:80]} and more" for text in texts[:100]]

    def each(action: Callable[[str], object]) -> Callable[[], None]:
        def run() -> None:
            for question in questions:
                action(question)

        return run

    def plain(question: str) -> object:
        return raw.search(encoder._model.encode([question], show_progress_bar=False), 4)

    pool, settings = Pool(index), RetrievalSettings(k=4)
    measured = interleaved(
        {
            "encode + raw FAISS": each(plain),
            "Index.search": each(lambda question: index.search(question, 4)),
            "select nearest, guarded": each(
                lambda question: select("nearest", Query({field: question}), pool, settings)
            ),
        },
        "encode + raw FAISS",
        rounds,
    )
    return table(f"Retrieving 4 of {len(index)} rows", "questions/s", len(questions), measured)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--input", default="text")
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip", choices=("encoding", "searching"))
    options = parser.parse_args()
    texts = texts_of(options.file, options.input, options.rows)
    if options.skip != "encoding":
        print(bench_encoding(texts, options.rounds))
    if options.skip != "searching":
        import os

        with tempfile.TemporaryDirectory() as home:
            os.environ["SHOTWISE_HOME"] = home
            print(bench_searching(options.file, options.input, texts, options.rounds))


if __name__ == "__main__":
    main()
