# SPDX-License-Identifier: MIT
"""A fresh Debian root to run commands in: a plain chroot, as a package builder makes one.

A root is made once by mmdebstrap and kept. Commands see a copy, which is gone afterwards. The
network is this machine's, with its settings for apt and pip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..system import roots

USER = "ann"
UID = 1000
PACKAGES = ("ca-certificates", "git", "make", "passwd", "sudo")
TOOLS = {
    "git": "git",
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
APT_HELPER = Path("/usr/lib/apt/apt-helper")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT = 1200  # seconds for one command
LATE = 124  # the status of one that is killed then, as timeout(1) has it

# Of this machine: how apt, pip and git reach the network.
SETTINGS = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", str(CERTIFICATES))
VARIABLES = ("PIP_", "SSL_CERT_", "http_proxy", "https_proxy", "no_proxy", "HTTP", "HTTPS", "NO_P")

# $1: the kept root, $2: an empty folder, $3: a folder to share; the rest: the command.
ENTER = """
root=$1 base=$2 shared=$3; shift 3
mount -t overlay -o "lowerdir=$root,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
mount -t proc proc "$base/root/proc"
mount --rbind /dev "$base/root/dev"
mkdir -p "$base/root/shared"
mount --bind "$shared" "$base/root/shared"
for folder in $LOCAL; do
    mkdir -p "$base/root$folder"
    mount --bind "$folder" "$base/root$folder"
done
exec chroot "$base/root" "$@"
"""


def what_is_missing() -> str:
    """Return why no root can be entered here, with the remedy; "" where one can."""
    if missing := sorted({TOOLS[tool] for tool in TOOLS if shutil.which(tool) is None}):
        return f"tools are missing: apt install {' '.join(missing)}"
    mount = ("mount", "-t", "tmpfs", "tmpfs", "/tmp")
    tried = subprocess.run(["unshare", "--mount", *mount], check=False, capture_output=True)
    if tried.returncode != 0:
        return "this process may not mount: run it as root, not in an unprivileged container"
    return _unreachable()


def _unreachable() -> str:
    """Return why apt cannot reach its mirror; "" where it can, or where it is not known which."""
    if (mirror := roots.mirror()) is None or not APT_HELPER.exists():
        return ""
    with tempfile.TemporaryDirectory() as folder:
        source = f"{mirror.rstrip('/')}/dists/{roots.RELEASES[0]}/InRelease"
        tried = subprocess.run(
            [APT_HELPER, "download-file", source, f"{folder}/InRelease"],
            check=False,
            capture_output=True,
        )
    return f"apt cannot reach {mirror}: there is no network" if tried.returncode != 0 else ""


class Root:
    """A throw-away copy of the kept root of `release`. `shared`: a folder that both sides see, as
    /shared inside.
    """

    def __init__(self, release: str, base: Path, shared: Path) -> None:
        self.release = release
        self._base, self._shared = base, shared
        self._kept = roots.root(release, "apt", PACKAGES)
        for name in ("upper", "work", "root"):
            (base / name).mkdir()
        upper = base / "upper"
        for setting in map(Path, SETTINGS):
            if setting.is_file():
                copy = upper / setting.relative_to("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(setting, copy)
        self._add_user(upper)

    def _add_user(self, upper: Path) -> None:
        etc = upper / "etc"
        for name, line in (
            ("passwd", f"{USER}:x:{UID}:{UID}::/home/{USER}:/bin/bash"),
            ("group", f"{USER}:x:{UID}:"),
            ("shadow", f"{USER}:*:20000::::::"),
        ):
            text = (self._kept / "etc" / name).read_text()
            (etc / name).write_text(f"{text}{line}\n")
        (etc / "sudoers.d").mkdir(mode=0o750)
        (etc / "sudoers.d" / USER).write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
        home = upper / "home" / USER
        home.mkdir(parents=True)
        os.chown(home, UID, UID)

    def run(self, user: str, script: str, log: Path) -> int:
        """Run the shell `script` as `user`, in the home folder, and return its status. What it says
        goes to the end of `log`.
        """
        home = "/root" if user == "root" else f"/home/{user}"
        mine = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
        inside = [
            *("env", "-i", f"PATH={PATH}", f"HOME={home}", f"USER={user}", "LC_ALL=C.UTF-8"),
            *(f"{name}={value}" for name, value in mine.items()),
            *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"),
            *("sh", "-c", f"cd; {script}"),
        ]
        outside = ("unshare", "--mount", "--propagation=private", "--fork", "--pid", "--kill-child")
        folders = map(str, (self._kept, self._base, self._shared))
        with log.open("ab") as said:
            try:
                done = subprocess.run(
                    [*outside, "sh", "-euc", ENTER, "sh", *folders, *inside],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    env={"PATH": PATH, "LOCAL": " ".join(local_folders())},
                    timeout=TIMEOUT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                said.write(f"no end in {TIMEOUT} s; killed\n".encode())
                return LATE
        return done.returncode


def local_folders() -> list[str]:
    """Return the folders of this machine that pip takes packages from."""
    words = " ".join(os.environ.get(name, "") for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"))
    with suppress(OSError):
        words += " " + Path("/etc/pip.conf").read_text()
    folders = (word.removeprefix("file://") for word in words.split())
    return sorted({word for word in folders if word.startswith("/") and Path(word).is_dir()})


@contextmanager
def root(release: str, shared: Path) -> Iterator[Root]:
    """Yield a throw-away copy of the kept root of `release`."""
    # Not in /tmp, which may be too small for all that is installed.
    with tempfile.TemporaryDirectory(prefix=f"fingerd-sd-{release}-", dir="/var/tmp") as base:
        yield Root(release, Path(base), shared)
