"""Log lines as JSON objects on stderr, one a line."""

import datetime
import json
import logging
import sys
from contextvars import ContextVar

from kvring_node.account import Account

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""What the client calls the HTTP request that is served in this context; every line of it says so."""

_requests = logging.getLogger("kvring_node.requests")


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, request id, then whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if REQUEST_ID.get():
            line["request_id"] = REQUEST_ID.get()
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send all log records of `level` and above to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def ended(account: Account) -> None:
    """One line for a request that ended."""
    _requests.info(
        "request ended",
        extra={
            "request_id": account.origin.request_id,
            "answer_id": account.submit.request_id,
            "finish_reason": account.reason,
            "prompt_tokens": account.num_prompt_tokens,
            "cached_tokens": account.num_cached_tokens,
            "answer_tokens": account.num_tokens,
            "queue_s": _rounded(account.queue_s),
            "prefill_s": _rounded(account.prefill_s),
            "decode_s": _rounded(account.decode_s),
            "total_s": _rounded(account.total_s),
        },
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
