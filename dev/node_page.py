"""docs/reference/node.md, from the fields of the node's `Settings`."""

import dataclasses

from kvring_node.settings import Settings

HEADER = """\
# Flags of a node

Made from the node's settings by `make manifests`; do not edit. `python -m kvring_node --help` says the same.
Each flag has a variable of the environment; the flag wins.

In a pool the operator gives the flags for which the spec has a field, so set that field. For the others set
the variable, in the container `node` of the pod template:

```yaml
spec:
  template:
    spec:
      containers:
        - name: node
          env:
            - {name: KVRING_LOG_REQUESTS, value: "true"}
```

Two variables have a value in a pool already, which yours replaces: `KVRING_NUM_THREADS` is the container's
limit of CPUs, and `KVRING_DEVICE` is `cuda` where the limits name a GPU of NVIDIA.

| flag | variable | default | in a pool | meaning |
| --- | --- | --- | --- | --- |
"""

IN_A_POOL = {
    "model": "`spec.model.uri`",
    "revision": "`spec.model.revision`, for hf://",
    "dtype": "`spec.model.dtype`",
    "max_model_len": "`spec.model.maxModelLen`",
    "page_tokens": "`spec.cache.pageTokens`",
    "max_batch_tokens": "`spec.scheduling.maxBatchTokens`",
    "max_sequences": "`spec.scheduling.maxSequences`",
    "strategy": "`spec.scheduling.strategy`",
    "cache_bytes": "`spec.cache.size.initial`",
    "served_name": "`spec.model.servedName`",
    "grace_s": "`spec.drain.timeout`",
    "internal_key_file": "the operator's",
    "download_dir": "the operator's, for hf://",
}
"""Settings that the operator gives as flags, and the field of the spec that each follows."""

FIXED = ("host", "port", "pod")
"""Settings that Services, probes and the operator rely on."""


def page() -> str:
    """The whole page in Markdown."""
    return HEADER + "".join(_row(field) for field in dataclasses.fields(Settings))


def _row(field: "dataclasses.Field[object]") -> str:
    flag, variable = field.name.replace("_", "-"), field.name.upper()
    choices = " or ".join(f"`{choice}`" for choice in field.metadata["choices"] or ())
    in_a_pool = IN_A_POOL.get(field.name, "leave it" if field.name in FIXED else "")
    meaning = "; ".join(filter(None, (choices, field.metadata["help"])))
    cells = (
        f"`--{flag}`",
        f"`KVRING_{variable}`",
        _default(field.default),
        in_a_pool,
        meaning,
    )
    return f"| {' | '.join(cells)} |\n"


def _default(value: object) -> str:
    if value is dataclasses.MISSING:
        return "required"
    return "" if value in (None, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"
