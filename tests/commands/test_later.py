# SPDX-License-Identifier: MIT
"""TLS that is imported at its first use: in processes of their own, since this one has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEGIN = f"""
import sys
sys.path.append({str(ROOT)!r})
from fingerd_sd.commands.roles.later import MODULES, postpone_tls
"""
POSTPONED = f"""{BEGIN}
postpone_tls()
import asyncio
postpone_tls()
assert "_ssl" not in sys.modules
"""


def _run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "use",
    [
        "import ssl; ssl.SSLContext",
        "from ssl import SSLContext",
        "from ssl import *; SSLContext",
        "asyncio.sslproto.SSLProtocol",
        "import asyncio.sslproto; asyncio.sslproto.SSLProtocol",
        "from asyncio.sslproto import SSLProtocol",
        "from asyncio import sslproto; sslproto.SSLProtocol",
    ],
)
def test_who_uses_it_has_all_of_it(use: str) -> None:
    whole = """
import ssl, asyncio.base_events, asyncio.selector_events
real = sys.modules["ssl"]
for there in (ssl, asyncio.base_events.ssl, asyncio.selector_events.ssl):
    assert there.SSLContext is real.SSLContext
    assert there.create_default_context().protocol == real.PROTOCOL_TLS_CLIENT
    assert there.__file__.endswith("ssl.py") and there.__name__ == "ssl"
assert asyncio.sslproto.SSLProtocol is sys.modules["asyncio.sslproto"].SSLProtocol
assert asyncio.base_events.sslproto.SSLProtocol is asyncio.sslproto.SSLProtocol
"""
    _run(f"{POSTPONED}{use}\nassert '_ssl' in sys.modules\n{whole}")


def test_a_plain_socket_of_the_loop_is_known_as_one() -> None:
    """asyncio looks whether it is one of TLS, and imports it for that."""
    _run(f"""{POSTPONED}
import socket
async def speak():
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(one, b"x")
        assert other.recv(1) == b"x"
asyncio.run(speak())
""")


def test_many_threads_may_be_the_first_to_use_it() -> None:
    program = f"""{POSTPONED}
import ssl, threading
together, said = threading.Barrier(16), []
def use():
    together.wait()
    try:
        said.append(ssl.SSLContext)
    except BaseException as error:
        said.append(error)
threads = [threading.Thread(target=use) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert said == [sys.modules["ssl"].SSLContext] * 16, said
"""
    for _ in range(5):
        _run(program)


def test_what_it_does_not_have_is_an_error_that_names_the_module() -> None:
    assert "ssl" in _run(f"""{POSTPONED}
import ssl
try:
    ssl.no_such_thing
except AttributeError as error:
    print(error)
assert "SSLContext" in vars(ssl)
""")


def test_what_is_there_already_stays() -> None:
    _run(f"""{BEGIN}
import ssl, asyncio
postpone_tls()
assert sys.modules["ssl"] is ssl and asyncio.sslproto is sys.modules["asyncio.sslproto"]
assert type(ssl) is type(sys)
""")


def test_a_python_without_tls_is_seen_as_such() -> None:
    _run(f"""{BEGIN}
class Rest:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name == "_ssl" else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Rest(finder) for finder in sys.meta_path]
postpone_tls()
import asyncio.base_events
assert asyncio.base_events.ssl is None
async def speak():
    pass
asyncio.run(speak())
""")
