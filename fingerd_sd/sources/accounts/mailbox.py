# SPDX-License-Identifier: MIT
"""Whether there is new mail, from the times of the user's mailbox in the spool.

It blocks: call it in a thread. It reads no mail. RFC 1288 does not ask for it, but BSD's finger
shows it: mail came when the file was last written, and the user read it when the file was last
read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from fingerd_sd.config.mistakes import File
from fingerd_sd.protocol.entry import Mail
from fingerd_sd.sources.accounts.sessions.moment import moment

SPOOLS = ("/var/mail", "/var/spool/mail")  # the first that is there


def mail_state(login: str, spools: Sequence[File] = SPOOLS) -> tuple[Mail | None, str]:
    """Return the state of the mailbox of `login`, None if it cannot be known, and its origin.

    No file, or an empty one, is an empty mailbox. If there is no spool, nothing is known, since
    mail is then elsewhere. It never raises.
    """
    if not login or "/" in login or "\0" in login or login in (".", ".."):
        return None, "no name of a mailbox"
    spool = next(filter(os.path.isdir, spools), None)
    if spool is None:
        return None, f"no {' or '.join(map(str, spools))}"
    box = os.path.join(spool, login)
    try:
        status = os.stat(box, follow_symlinks=False)
        keeps_no_times = os.statvfs(spool).f_flag & os.ST_NOATIME
    except FileNotFoundError:
        return Mail(), f"no {box}"
    except OSError as error:
        return None, f"{box}: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return None, f"{box}: not a regular file"
    if not status.st_size:
        return Mail(), f"{box} is empty"
    if keeps_no_times:
        return None, f"{spool} is mounted noatime: it does not tell when mail was read"
    received, read = moment(status.st_mtime), moment(status.st_atime)
    if received is None or read is None:
        return None, f"{box}: times beyond all years"
    return Mail(received, read), f"the times of {box}"
