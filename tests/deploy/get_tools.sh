#!/usr/bin/env bash
# Gets the programs with which tests/deploy checks what lies in deploy/: Prometheus, promtool, amtool and kustomize.
#
# They are Debian's own packages of one release, unpacked into .tollgate-tools/debian and nowhere else: nothing is
# installed, no service is started, and the machine's own package lists stay as they are. Needs apt-get and dpkg.
set -euo pipefail
cd "$(dirname "$0")/../.."

RELEASE=trixie
PACKAGES=(kustomize prometheus promtool prometheus-alertmanager)
TOOLS=$PWD/.tollgate-tools/debian
BIN=$TOOLS/root/usr/bin

[ -x "$BIN/kustomize" ] && [ -x "$BIN/prometheus" ] && [ -x "$BIN/promtool" ] && [ -x "$BIN/amtool" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
  echo "get_tools: no apt-get here; put ${PACKAGES[*]} on the PATH yourself" >&2; exit 1; }

echo "getting ${PACKAGES[*]} of Debian $RELEASE into .tollgate-tools/debian"
mkdir -p "$TOOLS/lists/partial" "$TOOLS/cache/archives/partial" "$TOOLS/packages" "$TOOLS/root"
printf '*\n' > .tollgate-tools/.gitignore
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $RELEASE main" > "$TOOLS/sources.list"
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$TOOLS/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root
     -o "Dir::State::lists=$TOOLS/lists" -o "Dir::Cache=$TOOLS/cache" -o Acquire::Retries=5)
"${apt[@]}" update
(cd "$TOOLS/packages" && "${apt[@]}" download "${PACKAGES[@]}")
for package in "$TOOLS"/packages/*.deb; do dpkg -x "$package" "$TOOLS/root"; done
rm -rf "$TOOLS/lists" "$TOOLS/cache" "$TOOLS/packages"
