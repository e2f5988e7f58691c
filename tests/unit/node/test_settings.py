import dataclasses
import re
from pathlib import Path

import pytest

from kvring_node import settings
from kvring_node.engine.options import EngineOptions


def test_flags_win_over_the_environment_and_that_over_defaults() -> None:
    chosen = settings.parse(
        ["--model", "/models/a", "--port", "1234"],
        {"KVRING_PORT": "99", "KVRING_MAX_SEQUENCES": "7", "KVRING_CACHE_BYTES": "2Gi"},
    )

    assert (chosen.port, chosen.max_sequences, chosen.cache_bytes) == (1234, 7, 2 * 2**30)
    assert chosen.page_tokens == 16


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("/models/demo", "demo"),
        ("/models/demo/", "demo"),
        ("hf://Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("file:///m/with blank", "with-blank"),
        ("/", "model"),
    ],
)
def test_a_model_is_served_under_the_hubs_name_or_its_folders(model: str, name: str) -> None:
    assert settings.parse(["--model", model], {}).served_name == name


def test_an_empty_variable_is_none_at_all() -> None:
    assert settings.parse(["--model", "m"], {"KVRING_PORT": ""}).port == 8000


@pytest.mark.parametrize(
    ("argv", "environ", "remedy"),
    [
        ([], {}, "give --model FOLDER (or KVRING_MODEL)"),
        (["--model", "m", "--port", "x"], {}, "is not a port; choose 1 to 65535"),
        (["--model", "m", "--port", "65536"], {}, "is not a port"),
        (["--model", "m"], {"KVRING_PORT": "tcp://10.0.0.1:80"}, "environment KVRING_PORT"),
        (["--model", "m", "--page-tokens", "12"], {}, "is not a power of two from 8 to 256"),
        (["--model", "m", "--page-tokens", "512"], {}, "is not a power of two from 8 to 256"),
        (["--model", "m", "--cache-bytes", "lots"], {}, "write it like 512Mi or 2Gi"),
        (["--model", "m", "--cache-bytes", "0"], {}, "is not a size"),
        (["--model", "m", "--max-sequences", "-1"], {}, "is not a whole number above 0"),
        (["--model", "m", "--dtype", "float8"], {}, "invalid choice"),
        (["--model", "m"], {"KVRING_STRATEGY": "LIFO"}, "'LIFO' is not one of FCFS, Priority, SLA, Fairness"),
        (["--model", "m"], {"KVRING_DTYPE": "float8"}, "'float8' is not one of auto, float32"),
        (["--model", "m", "--grace-s", "soon"], {}, "is not a number of seconds"),
        (["--model", "m", "--served-name", "a b"], {}, "is not a name"),
        (["--model", "m", "--internal-key-file", "/nowhere/key"], {}, "mount the pool's Secret"),
        (["--model", "m", "--otlp-endpoint", "collector:4318"], {}, "write it like http://collector:4318"),
        (["--model", "m", "--log-requests", "maybe"], {}, "is neither true nor false"),
        (["--model", "m", "--colour", "red"], {}, "unrecognized arguments"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_remedy(
    argv: list[str], environ: dict[str, str], remedy: str
) -> None:
    with pytest.raises(settings.InvalidSettings, match=re.escape(remedy)):
        settings.parse(argv, environ)


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        settings.parse(["--help"], {})

    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert all("--" + one.name.replace("_", "-") in text for one in dataclasses.fields(settings.Settings))


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("1k", 1000), ("1Ki", 1024), ("3M", 3_000_000), ("2Gi", 2**31), ("1Ti", 2**40)],
)
def test_sizes_are_kubernetes_quantities(text: str, size: int) -> None:
    assert settings.size_bytes(text) == size


def test_the_key_file_is_looked_for_at_the_start(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k")

    assert settings.parse(["--model", "m", "--internal-key-file", str(key)], {}).internal_key_file == str(key)


def test_the_engine_has_the_same_defaults_when_it_is_embedded() -> None:
    served, embedded = settings.Settings(model="m"), EngineOptions(model="m")

    for name in (
        "revision",
        "dtype",
        "device",
        "page_tokens",
        "max_model_len",
        "max_batch_tokens",
        "num_threads",
        "seed",
    ):
        assert getattr(served, name) == getattr(embedded, name), name
    assert served.max_sequences == embedded.max_num_sequences
    assert served.cache_bytes == embedded.kv_bytes


@pytest.mark.parametrize(
    ("flag", "environ", "endpoint"),
    [
        ("", {}, ""),
        ("http://c:4318", {}, "http://c:4318/v1/traces"),
        ("http://c:4318/v1/traces", {}, "http://c:4318/v1/traces"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/here"}, "http://c/here"),
        ("http://mine:1", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, "http://mine:1/v1/traces"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, ""),
    ],
)
def test_spans_go_where_opentelemetrys_variables_say_unless_a_flag_does(
    flag: str, environ: dict[str, str], endpoint: str
) -> None:
    flags = ["--otlp-endpoint", flag] if flag else []
    assert settings.parse(["--model", "m", *flags], environ).otlp_endpoint == endpoint
