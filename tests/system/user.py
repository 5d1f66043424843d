# SPDX-License-Identifier: MIT
"""An ordinary user of a machine, with a home that is closed to all others, and a manager."""

from __future__ import annotations

import json
from typing import Any

from .machine import Machine, Said
from .waiting import wait_for

GONE = 6  # what userdel(8) returns if there is no such account


def remove(machine: Machine, login: str) -> None:
    """Delete the account `login` with its home, if it is there. Whoever has just logged out may
    still have processes, and userdel refuses until they have ended.
    """

    def deleted() -> bool:
        return machine.run("userdel", "--remove", login, check=False).status in (0, GONE)

    wait_for(deleted, f"{login} to be deleted")


class User:
    """The account `login`, made anew, with `uid` if it is given. `drop` it in any case."""

    def __init__(self, machine: Machine, login: str, uid: int | None = None) -> None:
        self.machine = machine
        self.login = login
        self.home = f"/home/{login}"
        words = [] if uid is None else ["--uid", str(uid)]
        words += ["--create-home", "--comment", f"{login.capitalize()} Liddell"]
        machine.run("useradd", *words, login)
        machine.run("chmod", "700", self.home)
        self.uid = int(machine.run("id", "-u", login).stdout)

    def drop(self) -> None:
        """Stop the user's manager and delete the account with its home."""
        self.machine.systemctl("stop", f"user@{self.uid}.service", check=False)
        remove(self.machine, self.login)

    def command(self, *argv: str) -> list[str]:
        """Return the command of the machine that runs `argv` as this user."""
        become = [f"--reuid={self.login}", f"--regid={self.login}", "--init-groups"]
        environment = {
            "HOME": self.home,
            "USER": self.login,
            "XDG_RUNTIME_DIR": f"/run/user/{self.uid}",
        }
        variables = [f"{name}={value}" for name, value in environment.items()]
        return ["setpriv", *become, "env", *variables, *argv]

    def run(self, *argv: str, stdin: str = "", check: bool = True) -> Said:
        """Run `argv` as this user, at the root of the file system."""
        return self.machine.run(*self.command(*argv), stdin=stdin, check=check)

    def shell(self, script: str, stdin: str = "") -> str:
        """Run `script` by sh in the home and return what it printed."""
        return self.run("sh", "-euc", f"cd; {script}", stdin=stdin).stdout

    def publish(self, *options: str, stdin: str = "") -> Said:
        """Run `fingerd-sd publish`, whatever its exit status will be."""
        return self.run("fingerd-sd", "publish", *options, stdin=stdin, check=False)

    def entry(self) -> dict[str, Any]:
        """Return what the keeper has stored of this user; empty: nothing."""
        told = self.publish("--show", "--json")
        assert told.status == 0, told
        return dict(json.loads(told.stdout)["person"] or {})

    def manage(self) -> None:
        """Start the user's own service manager, as a login does."""
        self.machine.systemctl("start", f"user@{self.uid}.service")
        wait_for(
            lambda: "running" in self.systemctl("is-system-running", "--wait", check=False),
            f"the manager of {self.login}",
        )

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run `systemctl --user` and return what it printed."""
        return self.run("systemctl", "--user", "--no-pager", *arguments, check=check).stdout
