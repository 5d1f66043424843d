# SPDX-License-Identifier: MIT
"""The packages of the distributions, as far as their tools run on Debian.

Fedora's macros are not in Debian: short stand-ins show that the .spec holds together, not that
Fedora's own do what it expects. makepkg is Arch's own.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fingerd_sd import __version__

from ..helpers import needs
from ..helpers.builds import TREE, built, built_elsewhere, deb, dist, run

pytestmark = pytest.mark.packages

SPEC = TREE / "packaging/fedora/fingerd-sd.spec"
PKGBUILD = TREE / "packaging/arch/PKGBUILD"
NOBODY = 65534
LAYOUT = {"DEB_PYTHON_INSTALL_LAYOUT": "deb"}  # Debian's Python: /usr, not /usr/local

# What every package has, wherever the distribution puts Python's modules.
FILES = {
    "/etc/fingerd-sd/conf.d",
    "/etc/fingerd-sd/fingerd.toml",
    "/usr/bin/fingerd-sd",
    "/usr/lib/systemd/catalog/fingerd-sd.catalog",
    "/usr/lib/systemd/system/finger.service",
    "/usr/lib/systemd/system/finger.socket",
    "/usr/lib/systemd/user/finger-publish-saved.service",
    "/etc/fingerd-sd/items",
    "/usr/lib/systemd/system/finger-item@.service",
    "/usr/lib/systemd/system/finger-item@.socket",
    "/usr/share/man/man5/finger-item@.service.5",
    "/usr/share/man/man5/finger-item@.socket.5",
    "/usr/share/doc/fingerd-sd/examples/items/coffee",
    "/usr/lib/systemd/system/finger-metrics.socket",
    "/usr/lib/systemd/system/finger-handover@.service",
    "/usr/share/man/man5/finger-metrics.socket.5",
    "/usr/share/man/man5/finger-handover@.service.5",
    "/usr/lib/systemd/system/finger-proxy.socket",
    "/usr/share/man/man5/finger-proxy.socket.5",
    "/usr/share/doc/fingerd-sd/examples/haproxy/haproxy.cfg",
    "/usr/share/doc/fingerd-sd/examples/store/redis.conf",
    "/usr/share/doc/fingerd-sd/examples/store/users.acl",
    "/usr/share/doc/fingerd-sd/examples/prometheus/alerts.yml",
    "/usr/share/doc/fingerd-sd/examples/prometheus/scrape.yml",
    "/usr/lib/systemd/system/finger-presence.service",
    "/usr/lib/systemd/system/finger-publish.service",
    "/usr/lib/systemd/system/finger-publish.socket",
    "/usr/lib/systemd/user/finger-publish.path",
    "/usr/lib/systemd/user/finger-publish.service",
    "/usr/lib/systemd/user/finger-publish@.path",
    "/usr/lib/sysusers.d/fingerd-sd.conf",
    "/usr/share/bash-completion/completions/fingerd-sd",
    "/usr/share/man/man1/fingerd-sd-publish.1",
    "/usr/share/man/man5/finger.service.5",
    "/usr/share/man/man5/finger.socket.5",
    "/usr/share/man/man5/finger-presence.service.5",
    "/usr/share/man/man5/finger-publish.service.5",
    "/usr/share/man/man5/finger-publish.socket.5",
    "/usr/share/man/man5/fingerd.toml.5",
    "/usr/share/man/man8/fingerd-sd.8",
}
DOC = "/usr/share/doc/fingerd-sd/examples"
EXAMPLES = {f"{DOC}/{path.relative_to(TREE / 'units')}" for path in TREE.glob("units/*.d/*.conf")}
EXAMPLES |= {f"{DOC}/{path.name}" for path in TREE.glob("packaging/example/*.toml")}

# What the package fingerd-sd-web has, and no other.
WEB_SOCKET = "/usr/lib/systemd/system/finger-web.socket"
WEB_FILES = {
    "/usr/lib/systemd/system/finger-web.service",
    WEB_SOCKET,
    "/usr/lib/sysusers.d/fingerd-sd-web.conf",
    "/usr/share/man/man5/finger-web.service.5",
    "/usr/share/man/man5/finger-web.socket.5",
}
WEB_EXAMPLES = {name for name in EXAMPLES if "finger-web" in name}
WEB_EXAMPLES |= {f"{DOC}/web/{path.name}" for path in TREE.glob("packaging/example/web/*")}
EXAMPLES -= WEB_EXAMPLES
WEB_CODE = {
    str(path.relative_to(TREE))
    for path in TREE.glob("fingerd_sd/serving/web/**/*")
    if path.is_file() and path.suffix != ".pyc"
}

MACROS = r"""
%_unitdir /usr/lib/systemd/system
%_userunitdir /usr/lib/systemd/user
%_journalcatalogdir /usr/lib/systemd/catalog
%_sysusersdir /usr/lib/sysusers.d
%systemd_requires %{nil}
%systemd_post() : post %{?*}
%systemd_preun() : preun %{?*}
%systemd_postun() : postun %{?*}
%systemd_postun_with_restart() : restart %{?*}
%systemd_user_post() : post %{?*}
%systemd_user_preun() : preun %{?*}
%pyproject_buildrequires %{nil}
%pyproject_wheel python3 -m build --wheel --no-isolation
%pyproject_install python3 -m installer --destdir=%{buildroot} dist/*.whl
%pyproject_files %{_builddir}/pyproject_files
%SITE /usr/lib/python3
%python3_sitelib /usr/lib/python3/dist-packages
%pyproject_save_files() find %{buildroot}%{SITE} -printf '%{SITE}/%%P\\n' > %{pyproject_files}
%pyproject_check_import() true
%pytest true
"""


def source() -> Path:
    """Return the archive that `make dist` makes."""
    return next(dist().glob("*.tar.gz"))


def plain(names: str) -> set[str]:
    """Return the paths of a listing, as they are before compression and without a final slash."""
    return {re.sub(r"/$|\.gz$", "", name) for name in names.splitlines()}


def is_split(base: set[str], web: set[str]) -> None:
    """Assert that two packages have what they are for, and nothing of the other."""
    assert base >= FILES | EXAMPLES
    assert [name for name in base if re.search("finger-web|sd-web|serving/web", name)] == []
    assert web >= WEB_FILES
    code = {"fingerd_sd/" + name.split("/fingerd_sd/")[1] for name in web if "/fingerd_sd/" in name}
    assert {name for name in code if not name.endswith(".pyc")} >= WEB_CODE
    assert [name for name in code if not name.startswith("fingerd_sd/serving")] == []


def test_all_packages_have_the_version_of_the_code() -> None:
    changelog = (TREE / "packaging/debian/changelog").read_text()
    for version in (
        re.match(r"fingerd-sd \((.*)-\d+\)", changelog),
        re.search(r"^Version: +(.*)$", SPEC.read_text(), re.M),
        re.search(r"^pkgver=(.*)$", PKGBUILD.read_text(), re.M),
    ):
        assert version
        assert version[1] == __version__


# --- Debian ---


def in_deb(name: str) -> set[str]:
    """Return the paths in the Debian package `name`."""
    told = run("dpkg-deb", "-c", deb(built(), name)).splitlines()
    listed = "\n".join(line.split()[5].removeprefix(".") for line in told)
    return {re.sub("^/lib/", "/usr/lib/", name) for name in plain(listed)}


def test_the_debian_packages_have_the_files() -> None:
    web = in_deb("fingerd-sd-web")
    is_split(in_deb("fingerd-sd"), web)
    folder = DOC.replace("fingerd-sd", "fingerd-sd-web")
    assert {name.replace(DOC, folder).replace("/web/", "/") for name in WEB_EXAMPLES} <= web


def test_only_the_package_for_the_web_needs_what_the_web_needs() -> None:
    base, web = (
        run("dpkg-deb", "-f", deb(built(), name), "Depends")
        for name in ("fingerd-sd", "fingerd-sd-web")
    )
    assert "aiohttp" not in base
    assert "jinja2" not in base
    assert {f"fingerd-sd (= {__version__}-1)", "python3-aiohttp", "python3-jinja2"} <= set(
        web.strip().split(", ")
    )


def test_lintian_has_nothing_to_say_of_the_debian_package() -> None:
    needs.programs("lintian")
    (changes,) = built().glob("*.changes")
    said = run(
        *("lintian", "--allow-root", "--display-info", "--pedantic"),
        # The package is written for Debian 12; Debian 13 has a newer policy, and one tag less.
        *("--suppress-tags", "out-of-date-standards-version,alien-tag"),
        changes,
    )
    assert said == ""


@pytest.mark.parametrize("name", ["fingerd-sd", "fingerd-sd-web"])
def test_a_debian_package_is_the_same_octets_wherever_it_is_built(name: str) -> None:
    assert deb(built(), name).read_bytes() == deb(built_elsewhere(), name).read_bytes()


# --- Fedora ---


def test_the_spec_makes_a_package_with_the_files(tmp_path: Path) -> None:
    needs.programs("rpmbuild", "rpm", "bsdtar")
    (tmp_path / "SOURCES").mkdir()
    shutil.copy(source(), tmp_path / "SOURCES")
    (tmp_path / "macros").write_text(MACROS)
    run(
        *("rpmbuild", "--define", f"_topdir {tmp_path}", "--load", tmp_path / "macros"),
        *("--nodeps", "-ba", SPEC),
        env=LAYOUT,
    )
    assert list((tmp_path / "SRPMS").glob("*.src.rpm"))
    made = tmp_path / "RPMS/noarch"
    (package,) = made.glob("fingerd-sd-[0-9]*")
    (web,) = made.glob("fingerd-sd-web-*")
    files = plain(run("rpm", "-qlp", web))
    is_split(plain(run("rpm", "-qlp", package)), files)
    assert files >= WEB_EXAMPLES
    assert "fingerd-sd = " in run("rpm", "-qRp", web)
    assert "restart finger-web.service" in run("rpm", "-qp", "--scripts", web)
    assert "SocketGroup=fingerd-web\n" in run("bsdtar", "-xOf", web, f".{WEB_SOCKET}")
    assert run("rpm", "-qcp", package) == "/etc/fingerd-sd/fingerd.toml\n"
    scripts = run("rpm", "-qp", "--scripts", package)
    assert "post finger.socket finger.service finger-publish.socket" in scripts
    assert "restart finger.service" in scripts  # and never the socket


# --- Arch ---


@pytest.fixture
def workshop() -> Iterator[Path]:
    """A folder that an ordinary user may write, as makepkg refuses to be root."""
    with tempfile.TemporaryDirectory(prefix="fingerd_sd_arch_") as folder:
        if not needs.becoming_nobody():
            os.chown(folder, NOBODY, NOBODY)
        yield Path(folder)


def test_the_pkgbuild_makes_a_package_with_the_files(workshop: Path) -> None:
    needs.programs("makepkg", "bsdtar", "fakeroot", "setpriv")
    shutil.copy(source(), workshop)
    shutil.copy(PKGBUILD, workshop)
    (workshop / "bin").mkdir()
    (workshop / "bin/python").symlink_to("/usr/bin/python3")
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    run(
        *([] if needs.becoming_nobody() else nobody),
        *("makepkg", "--nodeps", "--nocheck", "--nocolor"),
        cwd=workshop,
        env={
            "PATH": f"{workshop}/bin:/usr/bin:/bin",
            "HOME": str(workshop),
            "PACMAN": "true",  # there is none here to ask
            **LAYOUT,
        },
    )
    (package,) = workshop.glob("fingerd-sd-[0-9]*.pkg.tar.*")
    (web,) = workshop.glob("fingerd-sd-web-*.pkg.tar.*")
    listed, files = (plain(run("tar", "-tf", path)) for path in (package, web))
    is_split({f"/{name}" for name in listed}, {f"/{name}" for name in files})
    assert {f"/{name}" for name in files} >= WEB_EXAMPLES
    assert "depend = fingerd-sd=" in run("tar", "-xOf", web, ".PKGINFO")
    assert "SocketGroup=http\n" in run("tar", "-xOf", web, WEB_SOCKET.removeprefix("/"))
    assert "usr/share/licenses/fingerd-sd/LICENSE" in listed
    about = run("tar", "-xOf", package, ".PKGINFO")
    assert "backup = etc/fingerd-sd/fingerd.toml" in about
    assert "install = " not in about
