#!/bin/sh
# SPDX-License-Identifier: MIT
# as-a-newcomer.sh COMMAND: run one command of the README in a clone, in the home folder. `later`
# builds a later version of the package as well, for upgrades.
set -eu

clone() {
    [ ! -d fingerd-sd ] || return 0
    cp -R /shared/tree fingerd-sd
    cd fingerd-sd
    git init --quiet
    git add --all
    git -c user.name=ann -c user.email=ann@example.org commit --quiet --message "The tree"
    cd ..
}

clone
cd fingerd-sd
case $1 in
run)
    setsid make run >run.log 2>&1 &
    made=$!
    answer=
    # Installing takes a while. Another's server may have the port: then this one says so, and ends.
    while kill -0 "$made" 2>/dev/null; do
        if grep -q '^Listening on .*1079' run.log; then
            answer=$(printf 'moshez\r\n' | nc -w 30 localhost 1079) && [ -n "$answer" ] && break
        fi
        sleep 0.2
    done
    kill -- -"$made" 2>/dev/null || true
    wait || true
    cat run.log
    [ "$answer" = "$(printf 'Happy and well\r')" ] || { echo "make run: answered '$answer'"; exit 1; }
    grep -q '^moshez from 127.0.0.1: found$' run.log
    rm run.log
    echo "1 passed"
    ;;
deb)
    make deb
    cp build/deb/fingerd-sd*_all.deb /shared/package/
    ;;
nocheck)
    DEB_BUILD_OPTIONS=nocheck DEB_BUILD_PROFILES=nocheck make deb
    cp build/deb/fingerd-sd*_all.deb /shared/package/
    ;;
later)
    rm -rf later
    cp -R build/deb later
    cd later/fingerd-sd-*/
    {
        printf 'fingerd-sd (99-1) unstable; urgency=medium\n\n  * The version after this one.\n\n'
        printf ' -- Somebody Else <else@fingerd-sd.invalid>  Mon, 23 Nov 2026 00:00:00 +0000\n\n'
        cat debian/changelog
    } >changelog
    mv changelog debian/changelog
    echo '__version__ = "99"' >>fingerd_sd/__init__.py
    DEB_BUILD_OPTIONS=nocheck DEB_BUILD_PROFILES=nocheck dpkg-buildpackage -us -uc --build=binary
    cp ../fingerd-sd*_99-1_all.deb /shared/package/
    ;;
*)
    make "$1"
    ;;
esac
