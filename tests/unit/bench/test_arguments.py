"""Arguments of the benches: what is taken, and what is refused before anything runs."""

import argparse
import signal
from collections.abc import Callable
from typing import Any

import pytest
from bench import arguments
from bench.contest import line_up

TAKEN = [
    (arguments.whole, "0", 0),
    (arguments.count, "12", 12),
    (arguments.positive, "0.5", 0.5),
    (arguments.several(arguments.count), "1,16,128", [1, 16, 128]),
    (arguments.one_of(["a", "b"]), "b", "b"),
    (line_up.peer, "hf-single", "hf-single"),
    (line_up.peer, "hf-padded-48", "hf-padded-48"),
]
REFUSED = [
    (arguments.whole, "-1", "is not a whole number"),
    (arguments.whole, "²", "is not a whole number"),
    (arguments.count, "0", "above 0"),
    (arguments.count, "many", "whole number"),
    (arguments.positive, "nan", "above 0"),
    (arguments.positive, "inf", "above 0"),
    (arguments.several(arguments.count), "1,,2", "whole number"),
    (arguments.one_of(["a", "b"]), "c", "'c' is none of a, b"),
    (arguments.file, "no/such/file", "there is no file no/such/file"),
    (arguments.program, "no/such/program", "there is no program no/such/program"),
    (line_up.peer, "hf-padded-0", "is none of hf-single, hf-padded-N, hf-cb, ct2, vllm"),
    (line_up.peer, "", "is none of hf-single, hf-padded-N, hf-cb, ct2, vllm"),
]


@pytest.mark.parametrize(("parse", "text", "value"), TAKEN)
def test_is_taken(parse: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "text", "why"), REFUSED)
def test_is_refused(parse: Callable[[str], Any], text: str, why: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refusal:
        parse(text)
    assert why in str(refusal.value)


def interrupted() -> int:
    raise KeyboardInterrupt


def told_to_end() -> int:
    signal.raise_signal(signal.SIGTERM)
    return 0


@pytest.mark.parametrize(
    ("main", "status"), [(lambda: 0, 0), (lambda: 1, 1), (interrupted, 130), (told_to_end, 143)]
)
def test_how_a_bench_ends(main: Callable[[], int], status: int) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            arguments.run(main)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == status


def test_what_cannot_be_done_as_asked_ends_with_2_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.refuse("give more pages")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "give more pages\n"
