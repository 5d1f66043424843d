#!/bin/sh
# SPDX-License-Identifier: MIT
# need.sh PACKAGE...: install those Debian packages that are missing; ONE/OTHER is either of them. Where
# that cannot be done, one sentence says what to install, and the status is 1.
set -eu

missing=
for package in "$@"; do
    # shellcheck disable=SC2046 # words are wanted
    dpkg-query -W -f '${Status}' $(echo "$package" | tr / ' ') 2>/dev/null | grep -q 'ok installed' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

cannot() {
    echo "need.sh: $1; install by hand what Debian calls:$missing" >&2
    exit 1
}
command -v apt-get >/dev/null || cannot "there is no apt-get here"
root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || cannot "installing needs root or sudo"
    root=sudo
    # Without a terminal nobody can type a password.
    [ -t 0 ] || sudo -n true 2>/dev/null || cannot "sudo asks for a password"
fi
echo "Installing:$missing" >&2
apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600"
wanted=$(echo "${missing# }" | sed 's/ /, /g; s:/: | :g')
$apt satisfy -y --no-install-recommends "$wanted" >/dev/null 2>&1 || {
    said=$($apt update 2>&1 && $apt satisfy -y --no-install-recommends "$wanted" 2>&1) ||
        cannot "apt-get failed ($(echo "$said" | grep -m 1 '^E:' || echo "no network?"))"
}
