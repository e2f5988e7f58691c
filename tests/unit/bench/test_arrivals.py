"""Traces of strangers."""

from pathlib import Path

import pytest
from bench import arrivals
from bench.arrivals import BadTrace

MOONCAKE = """{"timestamp": 3000, "input_length": 7, "output_length": 3, "hash_ids": [0]}
{"timestamp": 1500, "input_length": 5, "output_length": 0, "hash_ids": [0]}
"""
HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def test_a_trace_begins_at_0_in_the_order_of_its_moments(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        HEAD + "2023-11-16 18:00:02.5000000,5,0\n2023-11-16 18:00:01,7,3\n2023-11-16 17:00:00,1,1\n"
    )
    found = [
        (one.at, one.num_prompt_tokens, one.num_answer_tokens) for one in arrivals.recorded(path, most=2)
    ]
    assert found == [(0.0, 7, 3), (1.5, 5, 1)]


def test_a_trace_of_mooncakes_is_one_too(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(MOONCAKE)
    found = [(one.at, one.num_prompt_tokens, one.num_answer_tokens) for one in arrivals.recorded(path)]
    assert found == [(0.0, 5, 1), (1.5, 7, 3)]


def test_bytes_that_are_no_text_are_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.gz"
    path.write_bytes(b"\x1f\x8b")
    with pytest.raises(BadTrace, match="cannot be read as text"):
        arrivals.recorded(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "has no rows"),
        (HEAD, "has no rows"),
        ("a,b,c\n1,2,3\n", "line 2: KeyError"),
        ("a" * 200_000, "no header: Error.'field larger"),
        (HEAD + "2023-11-16 18:00:01,7,3\nyesterday,7,3\n", "line 3: ValueError"),
        (HEAD + "2023-11-16 18:00:01,7\n", "line 2: KeyError.'GeneratedTokens'"),
        (HEAD + "2023-11-16 18:00:01,7,many\n", "line 2: ValueError"),
        (HEAD + "\n2023-11-16 18:00:01,7,\0\n", "line 3: ValueError"),
        (MOONCAKE + '{"timestamp": 0', "line 3: JSONDecodeError"),
        (MOONCAKE + "[1]", "line 3: TypeError"),
        (MOONCAKE + '{"timestamp": 0, "input_length": 7}', "line 3: KeyError.'output_length'"),
    ],
)
def test_a_file_that_is_no_trace_says_where(content: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(content)
    with pytest.raises(BadTrace, match=why):
        arrivals.recorded(path)
