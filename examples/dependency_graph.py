"""A flow with branches that meet again: statistics of the words of a text.

    python examples/dependency_graph.py                 # its own documentation
    python examples/dependency_graph.py FILE

Tasks that don't wait for each other run side by side; each runs exactly once, however
many others use its result.
"""

from __future__ import annotations

import argparse
import contextlib
import pydoc
import re
from collections import Counter
from pathlib import Path

import fastflow

FLOW_DSL = """
flow WordStatistics:
    task read:
        description: "The text itself"
    read -> [split_words, split_sentences]
    split_words -> [count, lengths]
    split_sentences -> sentence_lengths
    [count, lengths] -> vocabulary
    [vocabulary, sentence_lengths, lengths] -> readability
    [count, readability] -> report
"""

tasks = fastflow.TaskRegistry()


@tasks.task
def read(path: str | None) -> str:
    """Return the text of a file, or of the documentation of str."""
    return Path(path).read_text("utf-8") if path else pydoc.render_doc(str)


@tasks.task
def split_words(text: str) -> list[str]:
    """Return the words in lower case."""
    return re.findall(r"[^\W\d_]+", text.lower())


@tasks.task
def split_sentences(text: str) -> list[str]:
    """Return the sentences, roughly."""
    return [part for part in re.split(r"[.!?]\s", text) if part.strip()]


@tasks.task
def count(words: list[str]) -> Counter[str]:
    """Count each word."""
    return Counter(words)


@tasks.task
def lengths(words: list[str]) -> list[int]:
    """Return the length of each word."""
    return [len(word) for word in words]


@tasks.task
def sentence_lengths(sentences: list[str]) -> list[int]:
    """Return the number of words of each sentence."""
    return [len(sentence.split()) for sentence in sentences]


@tasks.task
def vocabulary(count_result: Counter[str], lengths: list[int]) -> float:
    """Return how many of the words are different ones."""
    return len(count_result) / max(len(lengths), 1)


@tasks.task
def readability(
    vocabulary: float, sentence_lengths: list[int], lengths: list[int]
) -> float:
    """Return a score; higher is harder."""
    words = sum(sentence_lengths) / max(len(sentence_lengths), 1)
    letters = sum(lengths) / max(len(lengths), 1)
    return words * 0.4 + letters * 2 + vocabulary * 10


@tasks.task
def report(inputs: dict[str, object], readability: float) -> str:
    """Describe the text; ``inputs`` has the results of all tasks before."""
    counter = inputs["count"]
    assert isinstance(counter, Counter)
    common = ", ".join(f"{word} ({n})" for word, n in counter.most_common(5))
    return (
        f"{counter.total():,} words, {len(counter):,} different ones\n"
        f"most common: {common}\nscore {readability:.1f}"
    )


def describe(file: str | None) -> None:
    """Show the flow and run it."""
    flow = fastflow.Flow(FLOW_DSL, registry=tasks)
    for source, target in flow.spec.edges:
        print(f"{source:>16} -> {target}")
    try:
        result = flow.run(file)
    except fastflow.TaskError as error:
        raise SystemExit(str(error)) from None
    print(result["report"])
    once = all(record.attempts == 1 for record in result.tasks.values())
    print(f"{len(result)} tasks, each run once: {once}")


def main() -> None:
    """Show the flow and run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--report", metavar="FILE", help="write what was seen of it")
    options = parser.parse_args()
    recording = fastflow.record() if options.report else None
    with recording or contextlib.nullcontext():
        describe(options.file)
    if recording:
        recording.report(options.report)


if __name__ == "__main__":
    main()
