"""Request files of strangers: each fault names its line and what belongs there."""

import json
from pathlib import Path
from typing import Any

import pytest
from bench.contest import request_file
from bench.contest.request_file import Chat
from bench.contest.workload import Limits, Request, Unfit

LIMITS = Limits(vocab_size=256, num_tokens=20)
MESSAGES = [{"role": "user", "content": "hi"}]


def encode_chat(messages: list[dict[str, Any]]) -> list[int]:
    if messages == MESSAGES:
        return [7]
    raise ValueError("this model has no chat template")


def read(folder: Path, content: str) -> list[Request]:
    path = folder / "asked.jsonl"
    path.write_text(content, "utf-8")
    rows = request_file.read(path, max_tokens=5)
    return request_file.encode(rows, LIMITS, lambda text: list(text.encode()), encode_chat)


GOOD: list[tuple[str, str, list[Request]]] = [
    ("text is encoded", '{"prompt": "ab", "max_tokens": 3}', [Request([97, 98], 3)]),
    ("token ids stay as they are", '{"prompt": [0, 255], "max_tokens": 1}', [Request([0, 255], 1)]),
    ("who names no length gets the default", '{"prompt": "a"}', [Request([97], 5)]),
    ("null is no length", '{"prompt": "a", "max_tokens": null}', [Request([97], 5)]),
    ("the newer name counts too", '{"prompt": "a", "max_completion_tokens": 2}', [Request([97], 2)]),
    ("a batch file's row has it as body", '{"custom_id": "x", "body": {"prompt": "a"}}', [Request([97], 5)]),
    (
        "messages go through the template",
        '{"messages": [{"role": "user", "content": "hi"}]}',
        [Request([7], 5)],
    ),
    (
        "blank lines are nothing",
        '\n{"prompt": "a"}\r\n  \n{"prompt": "b"}',
        [Request([97], 5), Request([98], 5)],
    ),
    ("a line is what ends in a newline", '{"prompt": "\u2028"}', [Request([0xE2, 0x80, 0xA8], 5)]),
    ("a byte order mark is nothing", '\ufeff{"prompt": "a"}', [Request([97], 5)]),
    ("ids by their own name", '{"prompt_token_ids": [1], "max_tokens": 2}', [Request([1], 2)]),
    ("vLLM's name of a length", '{"prompt": "a", "output_tokens": 2}', [Request([97], 2)]),
    ("what belongs to sampling is no fault", '{"prompt": "a", "temperature": 0.7}', [Request([97], 5)]),
    ("a question is a prompt", '{"question": "a", "answer": "b"}', [Request([97], 5)]),
    ("of several turns the first", '{"turns": ["a", "b"]}', [Request([97], 5)]),
    (
        "of a dialogue the first, in a list, too",
        '[{"conversations": [{"from": "human", "value": "a"}, {"value": "b"}]},\n{"prompt": "b"}]',
        [Request([97], 5), Request([98], 5)],
    ),
    ("up to the limit", '{"prompt": "a", "max_tokens": 19}', [Request([97], 19)]),
]
BAD = [
    ("{", "line 2 is not JSON"),
    ("[1]", "line 2 is not an object; expected"),
    ('{"body": 1}', "line 2 is not an object; expected"),
    ('{"text": "a"}', "line 2 has no prompt; expected"),
    ('{"turns": []}', "line 2 has no prompt; expected"),
    ('{"conversations": [{"value": 1}]}', "line 2 has a prompt of another kind; expected"),
    ('{"input_length": 600, "output_length": 1, "hash_ids": [4]}', "line 2 has no prompt; expected"),
    ('{"prompt": "a", "output_tokens": 0}', "line 2 has output_tokens 0; it must be a whole number above 0"),
    ('{"prompt": ["a", "b"]}', "line 2 has a prompt of another kind; expected"),
    ('{"prompt": [1, true]}', "line 2 has a prompt of another kind; expected"),
    ('{"messages": "hi"}', "line 2 has a prompt of another kind; expected"),
    ('{"messages": []}', "line 2: this model has no chat template"),
    ('{"prompt": "a", "max_tokens": 0}', "line 2 has max_tokens 0; it must be a whole number above 0"),
    ('{"prompt": "a", "max_tokens": "9"}', 'line 2 has max_tokens "9"'),
    ('{"prompt": "a", "max_tokens": true}', "line 2 has max_tokens true"),
    ('{"prompt": ""}', "line 2: the prompt has no tokens"),
    ('{"prompt": [256]}', "line 2: token ids must lie between 0 and 255"),
    ('{"prompt": [-1]}', "line 2: token ids must lie between 0 and 255"),
    ('{"prompt": "a", "max_tokens": 20}', "line 2: 1 tokens in and 20 out are more than the 20"),
]


@pytest.mark.parametrize(("sentence", "content", "requests"), GOOD, ids=[row[0] for row in GOOD])
def test_good_rows(sentence: str, content: str, requests: list[Request], tmp_path: Path) -> None:
    assert read(tmp_path, content) == requests


@pytest.mark.parametrize(("line", "why"), BAD)
def test_bad_rows(line: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(Unfit) as fault:
        read(tmp_path, f'{{"prompt": "a"}}\n{line}\n')
    assert f"asked.jsonl, {why}" in str(fault.value)


@pytest.mark.parametrize(("content", "why"), [(b"\n \n", "has no requests"), (b"\xff", "cannot be read")])
def test_files_without_a_row(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_bytes(content)
    with pytest.raises(Unfit, match=why):
        request_file.read(path, max_tokens=5)


def test_a_trace_of_lengths_gets_the_same_tokens_where_it_says_the_same_names(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    trace = [(700, [5, 6]), (600, [5, 7]), (512, [6])]
    lines = [
        json.dumps({"timestamp": 0, "input_length": length, "output_length": 9, "hash_ids": names})
        for length, names in trace
    ]
    path.write_text("\n".join(lines))
    rows = request_file.read(path, max_tokens=5)
    requests = request_file.encode(rows, Limits(256, 1000), lambda _: [], encode_chat)
    first, second, third = (request.prompt for request in requests)
    assert [len(first), len(second), len(third)] == [700, 600, 512]
    assert first[:512] == second[:512]
    assert first[512:] == third[:188] != second[512:]
    assert {request.max_tokens for request in requests} == {9}


def test_the_first_of_many_rows_and_what_is_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text('{"prompt": "a", "top_p": 0.9}\n{"prompt": "b", "temperature": 1, "stop": "x"}\n{')
    assert [row.prompt for row in request_file.read(path, max_tokens=5, most=2)] == ["a", "b"]
    assert "everybody answers greedily: stop, temperature, top_p" in capsys.readouterr().err


def test_a_broken_list_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "asked.json"
    path.write_text('[{"prompt": "a"},\n{"prompt": }]')
    with pytest.raises(Unfit, match=r"asked.json is not JSON .*line 2"):
        request_file.read(path, max_tokens=5)
    path.write_text('[{"prompt": "a"},\n{"prompt": 1}]')
    with pytest.raises(Unfit, match=r"asked\.json, row 2 has a prompt of another kind"):
        request_file.read(path, max_tokens=5)


def test_messages_are_kept_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "hi"}]}')
    assert request_file.read(path, max_tokens=5)[0].prompt == Chat(MESSAGES)
