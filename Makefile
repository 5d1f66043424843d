# SPDX-License-Identifier: MIT
# make run: try it here. make test: run the tests. make deb: build the Debian package.
# make check: run everything that decides whether a change may land.
# make install: install on a machine run by systemd.

PYTHON = /usr/bin/python3
PREFIX = /usr/local
DESTDIR =
EXAMPLE = packaging/example/directory.toml

BIN = $(DESTDIR)$(PREFIX)/bin
LIB = $(DESTDIR)$(PREFIX)/lib/fingerd-sd
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
USER_UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/user
MAN = $(DESTDIR)$(PREFIX)/share/man
DOC = $(DESTDIR)$(PREFIX)/share/doc/fingerd-sd
COMPLETION = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
CATALOG = $(DESTDIR)$(PREFIX)/lib/systemd/catalog
CONFIG = $(DESTDIR)/etc/fingerd-sd
SYSUSERS = $(DESTDIR)$(PREFIX)/lib/sysusers.d

# Units without a command of ours in them.
PLAIN_UNITS = units/finger-handover@.service units/finger-metrics.socket units/finger-proxy.socket

# The group of the web server that may connect to finger-web.socket: the first that this machine has.
WEB_GROUP = $(shell for group in www-data http nginx caddy; do \
    ! getent group $$group || exit 0; done | cut -d: -f1 | grep . || echo fingerd-web)

# What building the Debian package needs: the packages of packaging/debian/control, and the tools.
DEB_TOOLS = git build-essential debhelper dh-python pybuild-plugin-pyproject python3-all \
    python3-setuptools python3-aiohttp python3-dbus-fast python3-hypothesis \
    python3-jinja2 python3-lxml python3-prometheus-client python3-pytest python3-pytest-timeout \
    python3-redis python3-systemd redis-tools/valkey-tools systemd man-db mandoc

# The programs that the tests use, and those that the rest of `make check` needs.
TEST_TOOLS = systemd finger netcat-openbsd w3m lynx openssl dbus-daemon man-db mandoc groff-base \
    gcc libc6-dev strace util-linux redis-tools/valkey-tools
CHECK_TOOLS = systemd-container mmdebstrap iproute2 util-linux

# The folder for the results of `make torture`, and how many runs it makes.
TORTURE = build/torture
RUNS = 1

# The tools of `make pages`.
PAGES = build/pages

# The bills of materials of `make sbom`, and the tools that lock, audit and make them.
SBOM = build/sbom
SUPPLY = build/supply
LOCKS = requirements-dev.txt requirements-supply.txt

.PHONY: run test check able pages screenshots packages fresh booted fuzz torture bench style types format lock audit sbom deb dist
.PHONY: install install-data uninstall clean

run:
	packaging/need.sh python3 python3-systemd systemd netcat-openbsd
	@printf '\n%s\n%s\n\n' \
	    "Ask it from another terminal:  printf 'moshez\\r\\n' | nc localhost 1079" \
	    "Its log follows; Ctrl-C ends it."
	@exec systemd-socket-activate -l 127.0.0.1:1079 -l '[::1]:1079' --fdname=finger:finger \
	    $(PYTHON) -m fingerd_sd serve --config $(EXAMPLE)

.venv/ready: requirements-dev.txt
	packaging/need.sh python3 python3-venv python3-systemd python3-aiohttp python3-lxml \
	    python3-dbus-fast python3-jinja2 python3-prometheus-client python3-redis
	$(PYTHON) -m venv --clear --system-site-packages .venv
	.venv/bin/pip install --quiet --require-hashes -r requirements-dev.txt
	touch $@

$(SUPPLY)/ready: requirements-supply.txt
	packaging/need.sh python3 python3-venv
	$(PYTHON) -m venv --clear $(SUPPLY)
	$(SUPPLY)/bin/pip install --quiet --require-hashes -r requirements-supply.txt
	touch $@

style: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/ready
	.venv/bin/mypy

format: .venv/ready
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Every test that needs no container. Tests that cannot run on this machine are skipped, by name.
test:
	@packaging/need.sh $(TEST_TOOLS) || echo "Without them some tests are skipped." >&2
	@$(MAKE) --no-print-directory .venv/ready || echo "There is no .venv." >&2
	@PYTHON=$(PYTHON) tests/run.sh $(TESTS)

# Everything that decides whether a change may land. It needs root, and says in one sentence what is
# missing. TESTED=1 leaves out `make test`, if that has just run.
check: able style types $(if $(TESTED),,test) pages packages fresh booted

able:
	@packaging/need.sh $(CHECK_TOOLS)
	@$(PYTHON) -m tests.fresh --can

# The tools that examine pages, by the hashes in tests/pages/package-lock.json. Not everybody has npm
# and Java from Debian.
$(PAGES)/ready: tests/pages/package.json tests/pages/package-lock.json
	command -v chromium >/dev/null || packaging/need.sh chromium
	command -v java >/dev/null || packaging/need.sh default-jre-headless
	command -v npm >/dev/null || packaging/need.sh nodejs npm
	packaging/need.sh ruby-openid-connect
	mkdir -p $(PAGES)
	cp tests/pages/package.json tests/pages/package-lock.json $(PAGES)
	cd $(PAGES) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# What a validator, axe and Chromium say of the pages, and what others' clients read of WebFinger.
pages: .venv/ready $(PAGES)/ready
	CI=true .venv/bin/python -m pytest -m pages $(TESTS)

# Takes docs/pages/*.png again, by Chromium: look at them.
screenshots: .venv/ready
	packaging/need.sh optipng pngquant
	.venv/bin/python -m tests.pages.shots docs/pages

# Builds the packages of Debian, Fedora and Arch and the wheel's bill of materials, and examines them.
packages: .venv/ready $(SUPPLY)/ready
	packaging/need.sh $(DEB_TOOLS) lintian rpm makepkg libarchive-tools
	CI=true .venv/bin/python -m pytest -m packages $(TESTS)

# Runs the README's commands in fresh roots of each release; FRESH=--all as root and as a user.
fresh: able
	$(PYTHON) -m tests.fresh $(FRESH)

# Tries the service on booted machines, each with the package that was built on its own release.
booted: able .venv/ready
	CI=true .venv/bin/python -m pytest -m system -n 2 --dist loadgroup --ignore=tests/system/torture \
	    $(TESTS)

# Sends hostile octets, five minutes a target; FUZZ="--seconds 600 html http" chooses time and targets.
fuzz: .venv/ready
	.venv/bin/python -m tests.fuzz $(FUZZ)

# Load, faults and hostile clients on booted machines of both releases. A run takes about half an hour
# with TESTS="-n 2", two tests at a time; more without. It fails by what is lost, wrong, leaked or
# hung. What is measured stands beside its bound in docs/torture.md, which is written whatever fails.
torture: .venv/ready
	packaging/need.sh systemd-container mmdebstrap iproute2 util-linux gcc libc6-dev $(DEB_TOOLS)
	rm -rf $(TORTURE)
	mkdir -p $(TORTURE)
	@began=$$(date +%s) status=0; \
	for run in $$(seq $(RUNS)); do \
	    CI=true TORTURE=$(TORTURE)/$$run .venv/bin/python -m pytest tests/system/torture $(TESTS) \
	        || status=1; \
	done; \
	.venv/bin/python -m tests.system.torture.table docs/torture.md $$began \
	    $$(seq -f $(TORTURE)/%g $(RUNS)) || status=1; \
	exit $$status

# Against a minimal C server and the servers that packages have; about twenty minutes. Some of it:
# BENCH="first cold"; with fewer rounds: BENCH="first --rounds 2".
bench: .venv/ready
	packaging/need.sh gcc libc6-dev util-linux
	.venv/bin/python -m tests.bench $(BENCH)

# After a change of a .in file; LOCK=--upgrade takes the newest of what the pinned ones need.
lock: $(SUPPLY)/ready
	for lock in $(LOCKS); do $(SUPPLY)/bin/uv pip compile --quiet --universal \
	    --python-version 3.11 --generate-hashes --custom-compile-command "make lock" $(LOCK) \
	    --output-file $$lock $${lock%.txt}.in || exit 1; done

# Known holes in the development tools, by PyPI's advisories (AUDIT="-s osv": by osv.dev's). A tool
# that cannot be looked up is a failure too.
audit: $(SUPPLY)/ready
	@$(SUPPLY)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off $(AUDIT) \
	    $(LOCKS:%=-r %) || { printf '%s\n' 'Not in order: a hole is named above, or the' \
	    'advisories of something could not be had, and then nothing is known of it.' >&2; exit 1; }

# CycloneDX bills of materials of the wheel's extras and of the development tools.
sbom: $(SUPPLY)/ready
	mkdir -p $(SBOM)
	sed "s/^dynamic = .*/version = \"$$($(PYTHON) -c 'import fingerd_sd as f; print(f.__version__)')\"/" \
	    pyproject.toml > $(SBOM)/pyproject.toml
	$(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    print(*sum(p["optional-dependencies"].values(), p["dependencies"]), sep="\n")' \
	    > $(SBOM)/fingerd-sd.txt
	cat $(LOCKS) > $(SBOM)/development.txt
	for bill in fingerd-sd development; do $(SUPPLY)/bin/python -W ignore -m cyclonedx_py \
	    requirements --output-reproducible --pyproject $(SBOM)/pyproject.toml \
	    --output-file $(SBOM)/$$bill.cdx.json $(SBOM)/$$bill.txt || exit 1; done
	rm $(SBOM)/*.txt $(SBOM)/pyproject.toml

# DEB_BUILD_OPTIONS=nocheck DEB_BUILD_PROFILES=nocheck leave the tests out.
deb:
	packaging/need.sh $(DEB_TOOLS)
	rm -rf build/deb
	packaging/deb.sh build/deb
	@echo "Now: sudo apt install ./$$(echo build/deb/fingerd-sd_*_all.deb)"
	@echo "On the web as well: ./$$(echo build/deb/fingerd-sd-web_*_all.deb)"

# The source archive and the wheel, for PyPI, Fedora and Arch.
dist: .venv/ready
	rm -rf dist *.egg-info
	.venv/bin/python -m build --no-isolation
	rm -rf *.egg-info
	.venv/bin/twine check --strict dist/*

install: install-data
	install -d $(BIN) $(LIB)
	find fingerd_sd -type f ! -name '*.py[cod]' | \
	    while read -r file; do install -D -m 644 "$$file" "$(LIB)/$$file" || exit 1; done
	$(PYTHON) -m compileall -q -s "$(DESTDIR)" -p / $(LIB)
	sed 's|@LIB@|$(PREFIX)/lib/fingerd-sd|; s|@PYTHON@|$(PYTHON)|' packaging/launcher.py \
	    > $(BIN)/fingerd-sd
	chmod 755 $(BIN)/fingerd-sd
	[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || \
	    { systemd-sysusers fingerd-sd.conf fingerd-sd-web.conf; systemctl daemon-reload; \
	    journalctl --update-catalog; }
	@[ -n "$(DESTDIR)" ] || echo "Now: systemctl enable --now finger.socket"

# Everything that is not Python. The packages use it too, with PREFIX=/usr.
install-data:
	install -d $(UNITS) $(USER_UNITS) $(DOC)/examples $(MAN)/man1 $(MAN)/man5 $(MAN)/man8
	install -d $(COMPLETION) $(CATALOG) $(SYSUSERS) $(CONFIG)/conf.d $(CONFIG)/items
	for unit in finger finger-publish finger-item@ finger-web; do \
	    sed 's|/usr/bin/fingerd-sd|$(PREFIX)/bin/fingerd-sd|' units/$$unit.service \
	        > $(UNITS)/$$unit.service || exit 1; \
	    sed 's|^SocketGroup=www-data|SocketGroup=$(WEB_GROUP)|' units/$$unit.socket \
	        > $(UNITS)/$$unit.socket || exit 1; done
	sed 's|/usr/bin/fingerd-sd|$(PREFIX)/bin/fingerd-sd|' units/finger-presence.service \
	    > $(UNITS)/finger-presence.service
	install -m 644 $(PLAIN_UNITS) $(UNITS)
	sed 's|/usr/bin/fingerd-sd|$(PREFIX)/bin/fingerd-sd|' units/user/finger-publish.service \
	    > $(USER_UNITS)/finger-publish.service
	install -m 644 units/user/finger-publish-saved.service units/user/*.path $(USER_UNITS)
	cp -R units/*.d packaging/example/haproxy packaging/example/items packaging/example/prometheus \
	    packaging/example/store packaging/example/web $(DOC)/examples
	install -m 644 packaging/example/*.toml $(DOC)/examples
	install -m 644 packaging/man/*.1 $(MAN)/man1
	install -m 644 packaging/man/*.5 $(MAN)/man5
	install -m 644 packaging/man/*.8 $(MAN)/man8
	install -m 644 packaging/catalog/fingerd-sd.catalog $(CATALOG)
	install -m 644 packaging/completion/fingerd-sd $(COMPLETION)
	install -m 644 packaging/sysusers/*.conf $(SYSUSERS)
	[ -e $(CONFIG)/fingerd.toml ] || \
	    install -m 644 packaging/example/fingerd.toml $(CONFIG)/fingerd.toml

# The configuration is the administrator's: remove it only if it is unchanged.
uninstall:
	[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || \
	    systemctl disable --now finger.socket finger-publish.socket finger-web.socket \
	        finger-metrics.socket finger-proxy.socket \
	        finger.service finger-publish.service finger-web.service finger-presence.service
	[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || \
	    { systemctl stop 'finger-item@*'; systemctl disable finger-item@.socket; }
	rm -rf $(LIB) $(DOC)
	rm -f $(BIN)/fingerd-sd $(UNITS)/finger.service $(UNITS)/finger.socket
	rm -f $(patsubst units/%,$(UNITS)/%,$(PLAIN_UNITS))
	rm -f $(UNITS)/finger-publish.service $(UNITS)/finger-publish.socket
	rm -f $(UNITS)/finger-item@.service $(UNITS)/finger-item@.socket
	rm -f $(UNITS)/finger-web.service $(UNITS)/finger-web.socket $(UNITS)/finger-presence.service
	rm -f $(CATALOG)/fingerd-sd.catalog $(COMPLETION)/fingerd-sd
	rm -f $(SYSUSERS)/fingerd-sd.conf $(SYSUSERS)/fingerd-sd-web.conf
	rm -f $(patsubst units/user/%,$(USER_UNITS)/%,$(wildcard units/user/*))
	rm -f $(patsubst packaging/man/%,$(MAN)/man1/%,$(wildcard packaging/man/*.1))
	rm -f $(patsubst packaging/man/%,$(MAN)/man5/%,$(wildcard packaging/man/*.5))
	rm -f $(patsubst packaging/man/%,$(MAN)/man8/%,$(wildcard packaging/man/*.8))
	! cmp -s packaging/example/fingerd.toml $(CONFIG)/fingerd.toml || rm $(CONFIG)/fingerd.toml
	rmdir --ignore-fail-on-non-empty $(CONFIG)/conf.d $(CONFIG)/items $(CONFIG) 2>/dev/null || true
	[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || \
	    { systemctl daemon-reload; journalctl --update-catalog; }

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
