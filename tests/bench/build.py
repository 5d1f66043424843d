# SPDX-License-Identifier: MIT
"""Make what is measured: compile the C and Go programs, fetch the peers from packages.

Everything lands in one cache folder outside the tree; nothing is installed into the system.
What cannot be had raises UnavailableError with a reason of one line for the report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "servers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fingerd-sd-bench"
PYPI = ("twisted", "pyfingerd", "matplotlib")
INSTALL_SECONDS = 600
COMPILE_SECONDS = 300
ETC = (
    "passwd",
    "group",
    "nsswitch.conf",
    "services",
    "protocols",
    "hosts",
    "host.conf",
    "ld.so.cache",
)  # what libc needs of /etc

# What Debian's cfingerd.conf must say to let anybody ask for one made-up user.
CFINGERD = (
    (
        "FILES finger_fakeusers = {\n",
        'FILES finger_fakeusers = {{\n\t"moshez", "Bench", FALSE, "{say}"\n',
    ),
    ("HOSTS trusted = {\n", "HOSTS trusted = {{\n\t127.0.0.1\n"),
    ("-ALLOW_NONIDENT_ACCESS", "+ALLOW_NONIDENT_ACCESS"),
    ("-ALLOW_EXECUTION", "+ALLOW_EXECUTION"),
)


class UnavailableError(Exception):
    """A program that cannot be had on this machine; the text says why."""


def run(argv: list[str], seconds: float, **environment: str) -> None:
    """Run `argv` quietly in the cache folder; UnavailableError with its last line if it fails."""
    try:
        done = subprocess.run(
            argv,
            cwd=CACHE,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            text=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(str(error)) from error
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise UnavailableError(f"{Path(argv[0]).name} failed: {last[:200]}")


def _fresh(made: Path, source: Path) -> bool:
    return made.exists() and made.stat().st_mtime >= source.stat().st_mtime


def compiled(name: str, *flags: str, made: Path | None = None) -> Path:
    """Compile NAME.c, unless that has been done, and return the program (`made`: where it goes)."""
    source = HERE / f"{name}.c" if name == "load" else SOURCES / f"{name}.c"
    CACHE.mkdir(parents=True, exist_ok=True)
    made = made or CACHE / name
    if not _fresh(made, source):
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            raise UnavailableError("no C compiler: install gcc")
        part = f"{made}.{os.getpid()}"
        run([compiler, "-O2", "-Wall", "-o", part, str(source), *flags], COMPILE_SECONDS)
        os.replace(part, made)
    return made


def go_program() -> Path:
    """Compile the Go server and return the program."""
    source, made = SOURCES / "goroutine.go", CACHE / "goroutine"
    if not _fresh(made, source):
        compiler = shutil.which("go")
        if compiler is None:
            raise UnavailableError("no Go compiler: install golang-go")
        CACHE.mkdir(parents=True, exist_ok=True)
        run(
            [compiler, "build", "-o", str(made), str(source)],
            COMPILE_SECONDS,
            GOCACHE=str(CACHE / "go"),
            GO111MODULE="off",
            GOFLAGS="",
        )
    return made


def peers_python(install: bool) -> Path:
    """Return the interpreter of a virtual environment with the peers from PyPI."""
    python, done = CACHE / "venv/bin/python3", CACHE / "venv/installed"
    if not done.exists():
        if not install:
            raise UnavailableError("not installed yet (run without --no-install)")
        base = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
        CACHE.mkdir(parents=True, exist_ok=True)
        run([base, "-m", "venv", str(CACHE / "venv")], INSTALL_SECONDS)
        run([str(python), "-m", "pip", "install", "-q", *PYPI], INSTALL_SECONDS)
        done.write_text("".join(f"{name}\n" for name in PYPI))
    return python


def debian(package: str, install: bool) -> Path:
    """Return the folder into which Debian's `package` was unpacked."""
    folder = CACHE / "debian" / package
    if not folder.exists():
        if not install:
            raise UnavailableError("not unpacked yet (run without --no-install)")
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise UnavailableError("needs apt-get and dpkg")
        part = CACHE / "debian" / f"{package}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        fetch = f"cd '{part}' && apt-get -q download {package} && dpkg -x {package}_*.deb ."
        run(["sh", "-c", fetch], INSTALL_SECONDS)
        part.rename(folder)
    return folder


def etc_of_peers(install: bool) -> Path:
    """Return a folder to stand in for /etc, in which efingerd and cfingerd answer as the others do.

    It is put over /etc in a mount namespace of theirs only.
    """
    etc, say = CACHE / "etc", compiled("say", "-static")
    shutil.rmtree(etc, ignore_errors=True)
    for name in ("efingerd", "cfingerd"):
        shutil.copytree(debian(name, install) / "etc" / name, etc / name)
    for name in ("list", "luser", "nouser"):
        shutil.copy(say, etc / "efingerd" / name)
    conf = etc / "cfingerd/cfingerd.conf"
    text = conf.read_text()
    for old, new in CFINGERD:
        text = text.replace(old, new.format(say=say))
    conf.write_text(text)
    for name in ETC:
        if Path("/etc", name).exists():
            shutil.copy(Path("/etc", name), etc / name)
    return etc
