# SPDX-License-Identifier: MIT
"""Memory of a real process: what a source leaves behind in cycles is found, however late."""

from __future__ import annotations

from pathlib import Path

from tests.integration.process import ROOT, ask, configured, listener, serving

from ..helpers import third_party

LITTER = 1000  # cycles that one look-up leaves behind
LOOK_UPS = 60  # several times as many objects as may be left

MODULE = f'''
    """A source that leaves cycles of garbage behind, and tells what has become of them."""

    import gc


    class Cycle:
        alive = 0

        def __init__(self):
            self.own = self
            Cycle.alive += 1

        def __del__(self):
            Cycle.alive -= 1


    class Litterer:
        timeout = 5.0
        lifetime = 0.0

        def __init__(self, name):
            self.name = name

        async def find(self, user):
            from fingerd_sd.protocol.entry import Text

            for _ in range({LITTER}):
                Cycle()
            return Text(f"{{Cycle.alive}} {{gc.isenabled()}} {{gc.get_freeze_count() > 10000}}")


    def read(table, name):
        table.close()
        return Litterer(name)
'''


def test_cycles_are_bounded_and_what_a_start_made_is_not_looked_at(tmp_path: Path) -> None:
    third_party.install(tmp_path, "litter = oracle:read", MODULE)
    config = configured(tmp_path, '[[source]]\ntype = "litter"\n')
    path = f"{ROOT}:{tmp_path}"
    with (
        listener() as sock,
        serving([sock], tmp_path, "--config", config, PYTHONPATH=path) as running,
    ):
        said = [ask(sock, b"user%d\r\n" % number).split() for number in range(LOOK_UPS)]
        assert running.stop() == 0
    assert {tuple(words[1:]) for words in said} == {(b"True", b"True")}
    assert max(int(words[0]) for words in said) < LITTER * LOOK_UPS / 2
