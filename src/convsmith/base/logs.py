"""Silence for the logs and warnings of other libraries, which mean nothing to the user of a command."""

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def hushed(*names: str) -> Generator[None]:
    """Within it the loggers of these names log errors only, and warnings are off; afterwards both are restored."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
