#!/usr/bin/env bash
# Installs the Debian package in a fresh root, answers there on a store that was made outside,
# builds both examples against it, removes it and looks for what it left. Run by hand: it needs
# root, debootstrap, a network and two minutes.
#
#   tests/capi/deb_check.sh DEB STORE SESSION MODEL QUESTION
#
# STORE has SESSION, read by MODEL with the installed adapter. CAIRN_DEB_ROOT names a directory for
# the root (default: one below TMPDIR); a root that is there is used, and is gone afterwards.
set -euo pipefail

fail() {
  printf 'deb_check.sh: %s\n' "$*" >&2
  exit 1
}
say() { printf '\n== %s\n' "$*"; }

(($# == 5)) || fail "usage: deb_check.sh DEB STORE SESSION MODEL QUESTION"
deb="$1" store="$2" session="$3" model="$4" question="$5"
((EUID == 0)) || fail "it makes a root of its own: run it as root"
command -v debootstrap >/dev/null || fail "debootstrap is missing; apt-get install debootstrap"
root="${CAIRN_DEB_ROOT:-$(mktemp -d)/root}"

cleanup() {
  mountpoint -q "$root/proc" && umount "$root/proc"
  mountpoint -q "$root/proc" || rm -rf --one-file-system "$root"
}
trap cleanup EXIT

inside() {
  chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive "$@"
}
apt() {
  inside apt-get -q -y -o Acquire::Retries=3 --no-install-recommends "$@" >>"$root/apt.log" 2>&1 ||
    fail "apt-get $*: $(tail -3 "$root/apt.log")"
}

say "a fresh root: Debian 12, minbase"
[[ -x "$root/usr/bin/apt-get" ]] || debootstrap --variant=minbase bookworm "$root" >/dev/null
cp /etc/resolv.conf "$root/etc/resolv.conf"
mount -t proc proc "$root/proc"
cp "$deb" "$root/srv/cairn.deb"
cp -a "$store" "$root/srv/store"
cp "$model" "$root/srv/model.gguf"
inside dpkg-query --show | wc -l | sed 's/$/ packages/'

say "apt-get install ./cairn.deb"
apt update
apt install /srv/cairn.deb
inside dpkg-query --show --showformat '${Package} ${Version} ${Status}\n' cairn
differs="$(inside dpkg --verify cairn)"
[[ -z "$differs" ]] || fail "dpkg --verify: $differs"
inside dpkg -L cairn | sort >"$root/srv/files"

say "the program"
inside cairn --version
inside cairn sessions list --store /srv/store
inside cairn ask --store /srv/store --session "$session" --model /srv/model.gguf \
  --adapter smollm2-135m-landmark "$question"

say "the examples, against the package"
apt install gcc g++ libc6-dev make cmake pkg-config
inside cp -r /usr/share/doc/cairn/examples /srv
inside make -C /srv/examples/c
inside cmake -S /srv/examples/cmake -B /srv/examples/cmake/build >/dev/null
inside cmake --build /srv/examples/cmake/build
inside /srv/examples/c/ask /srv/store "$session" /srv/model.gguf "$question" \
  smollm2-135m-landmark
echo "A short text." | inside /srv/examples/cmake/build/remember /srv/store short \
  /srv/model.gguf smollm2-135m-landmark

say "apt-get purge cairn"
apt purge cairn
left=0
while read -r path; do
  if [[ ! -d "$root$path" ]]; then
    [[ ! -e "$root$path" && ! -L "$root$path" ]] || { echo "left: $path" && left=1; }
  elif [[ "$path" != /. ]] && ! inside dpkg -S "$path" >/dev/null 2>&1; then
    echo "left: $path, which no package has" && left=1
  fi
done <"$root/srv/files"
find "$root" -xdev -path "$root/srv" -prune -o -path "$root/proc" -prune -o -name '*cairn*' -print |
  { ! grep -v Pitcairn; } || left=1
inside ldconfig -p | { ! grep libcairn; } || left=1
((left == 0)) || fail "the package left what is named above"
wc -l <"$root/srv/files" | sed 's/$/ paths looked for: nothing is left/'
