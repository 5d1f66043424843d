# SPDX-License-Identifier: MIT
"""`fingerd-sd presence`: of which configuration it makes what, and what it says where it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fingerd_sd.commands.exits import EX_CONFIG
from fingerd_sd.commands.roles.presence import load_setup
from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.process.hostname import own_name

from ..helpers import needs

STORE = '[store]\nurl = "unix:///run/store"\n'


def configured(folder: Path, text: str) -> Path:
    """Return a configuration with `text`."""
    file = folder / "fingerd.toml"
    file.write_text(text)
    return file


def test_the_host_is_called_as_the_configuration_says_or_as_it_is(tmp_path: Path) -> None:
    needs.modules("redis")
    named = load_setup(configured(tmp_path, f'{STORE}host = "Login3"\n'))
    assert (named.host, named.expiry, named.idle_exit) == ("login3", 90, 0)
    assert load_setup(configured(tmp_path, STORE)).host == own_name()


def test_without_a_store_there_is_nobody_to_tell(tmp_path: Path) -> None:
    file = configured(tmp_path, "")
    with pytest.raises(ConfigError, match=r"store\.url: is missing"):
        load_setup(file)
    argv = [sys.executable, "-m", "fingerd_sd", "presence", "--config", str(file)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == EX_CONFIG
    assert "store.url: is missing" in done.stderr


def test_without_its_module_the_store_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"store\.url: needs .* redis: install python3-redis"):
        load_setup(configured(tmp_path, STORE))
