"""`writing`, which lies in base/files.py, by the name that the code of runs has for it. No torch here."""

from convsmith.base.files import writing as writing
