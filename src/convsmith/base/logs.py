"""Other libraries' remarks, which are for their authors and not for whoever runs a command."""

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def hushed(*names: str) -> Generator[None]:
    """The loggers of these names at errors only, and no warnings; all is as it was afterwards."""
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
