# SPDX-License-Identifier: MIT
"""`publish --edit`: the stored plan in a file of the user's, and the user's editor.

The file stays where it is until what was written is published or dropped on purpose.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from fingerd_sd.commands.publish import files

EDITORS = ("sensible-editor", "vi", "nano")  # where neither $VISUAL nor $EDITOR is set


class NotEdited(Exception):  # noqa: N818  # a state of the machine, no fault
    """There is no text that the user has finished; what is said is one line."""


class Draft:
    """A plan being edited, in a file that only the user may read."""

    def __init__(self, text: str) -> None:
        """Write `text` to a new file. Raises NotEdited."""
        self.before = text
        try:
            fd, name = tempfile.mkstemp(prefix="fingerd-sd-plan-", suffix=".txt")
            self.path = Path(name)
            with open(fd, "w", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise NotEdited(f"no file to edit can be made: {error}") from None

    def edit(self) -> str:
        """Have the user edit the file, and return what it then holds. Raises NotEdited.

        Editors save by a rename too, so the file is opened anew by its name.
        """
        command = [*_editor(), str(self.path)]
        # Ctrl-C is the editor's while it runs. A handler, since the editor would inherit SIG_IGN.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            done = subprocess.run(command, check=False)  # noqa: S603  # the user's own editor
        except OSError as error:
            raise NotEdited(
                f"the editor {command[0]} cannot be started: {error.strerror}"
            ) from None
        finally:
            signal.signal(signal.SIGINT, before)
        if done.returncode != 0:
            raise NotEdited(
                f"the editor {command[0]} ended with {done.returncode}: nothing is published"
            )
        try:
            return files.of(str(self.path))
        except files.Unreadable as error:
            raise NotEdited(str(error)) from None

    def kept(self) -> str:
        """Return the words that say where the text is kept; "" where it is not worth keeping."""
        try:
            if self.path.read_bytes() != self.before.encode("utf-8"):
                return f"your text is kept in {self.path}"
        except OSError:
            return ""
        self.drop()
        return ""

    def drop(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def _editor() -> list[str]:
    """Return the editor's command, split as a shell splits words. Raises NotEdited."""
    for variable, said in (
        ("$VISUAL", os.environ.get("VISUAL", "")),
        ("$EDITOR", os.environ.get("EDITOR", "")),
    ):
        try:
            words = shlex.split(said)
        except ValueError as error:
            raise NotEdited(f"{variable} cannot be understood: {error}") from None
        if words:
            return words
    for name in EDITORS:
        if shutil.which(name):
            return [name]
    raise NotEdited(f"there is no editor: set $EDITOR, or install one of {', '.join(EDITORS)}")
