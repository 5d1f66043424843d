#!/bin/sh
# SPDX-License-Identifier: MIT
# deb.sh FOLDER: build the Debian package of this tree, as it is now, in FOLDER, which must be new.
# Files that git ignores are left out. Needs git, dpkg-dev and what packaging/debian/control says.
set -eu
cd "$(dirname "$0")/.."
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's own Python, whatever else is on this machine
export PATH

mkdir -p "$(dirname "$1")"
mkdir "$1"
folder=$(realpath "$1")
version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)
upstream=${version%-*}
tree=$folder/fingerd-sd-$upstream

# An index of our own: the archive has what is not committed yet, and yours stays as it is.
GIT_INDEX_FILE=$folder/index
export GIT_INDEX_FILE
git add --all
git archive --prefix="fingerd-sd-$upstream/" "$(git write-tree)" |
    gzip -9n >"$folder/fingerd-sd_$upstream.orig.tar.gz"
rm "$GIT_INDEX_FILE"

tar -C "$folder" -xf "$folder/fingerd-sd_$upstream.orig.tar.gz"
cp -R packaging/debian "$tree/debian"
cd "$tree"
dpkg-buildpackage -us -uc
