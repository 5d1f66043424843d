# SPDX-License-Identifier: MIT
"""One target under hypothesis, where there is no atheris: seeds that are changed here and there,
and any octets; what breaks a property is made small.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .target import Target

CHANGES = 6  # made to one seed, at most


def cases(target: Target) -> st.SearchStrategy[bytes]:
    """Return inputs for `target`."""
    pieces = st.binary(max_size=12)
    if target.words:
        pieces |= st.sampled_from(target.words)
    loose = st.lists(pieces, max_size=24).map(b"".join)
    seeds = [path.read_bytes()[: target.longest] for path in target.cases()]
    if not seeds:
        return loose
    changes = st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 16), pieces), min_size=1, max_size=CHANGES
    )
    return st.builds(_changed, st.sampled_from(seeds), changes) | loose


def _changed(octets: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for where, dropped, piece in changes:
        at = int(where * len(octets))
        octets = octets[:at] + piece + octets[at + dropped :]
    return octets


def fuzz(target: Target, runs: int, number: int) -> bytes | None:
    """Try `runs` inputs, the same ones for the same `number`; return the smallest one found that
    breaks a property, None where there is none.
    """
    broke: list[bytes] = []

    @seed(number)
    @settings(
        max_examples=runs,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    @given(cases(target))
    def holds(octets: bytes) -> None:
        try:
            target.check(octets[: target.longest])
        except Exception:
            broke.append(octets[: target.longest])
            raise

    try:
        holds()
    except Exception:
        if not broke:  # it is hypothesis that fails
            raise
        return broke[-1]
    return None
