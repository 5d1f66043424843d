#!/bin/sh
# SPDX-License-Identifier: MIT
# need.sh PACKAGE...: install those Debian packages that are missing; elsewhere say what to install.
set -eu

missing=
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "need.sh: no apt-get here; install by hand what Debian calls:$missing" >&2
    exit 0
fi
echo "Installing:$missing" >&2
root=
[ "$(id -u)" -eq 0 ] || root=sudo
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # words are wanted
$root apt-get install -y --no-install-recommends $missing >/dev/null 2>&1 || {
    $root apt-get update >/dev/null
    $root apt-get install -y --no-install-recommends $missing >/dev/null
}
