#!/usr/bin/env bash
# Runs the end-to-end suite under Debian 13, whose glibc loads the bundled uWebSockets.js binary without a relaxed copy.
# See docs/testing.md. Usage, as root: run.sh [part of a test's path ...]
#
# DEBIAN13_CACHE   where the Debian tree is kept for the next time (default .artifacts/debian13)
# DEBIAN13_MIRROR  Debian mirror (default: the one that this machine's apt uses)
set -euo pipefail

script=$(readlink -f "$0")
project=$(dirname "$(dirname "$(dirname "$script")")")
cache=$(readlink -m "${DEBIAN13_CACHE:-$project/.artifacts/debian13}")
tree=$cache/tree
inside=/project

fail() {
  echo "test:debian13: $*" >&2
  exit 1
}

require() {
  command -v "$1" >/dev/null || fail "$1 is not installed; as root: apt-get install $2"
}

mirror() {
  if [ -n "${DEBIAN13_MIRROR:-}" ]; then
    echo "$DEBIAN13_MIRROR"
    return
  fi
  local found
  found=$(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' 'Component: main' 'Origin: Debian' 'Label: Debian' | sort -u | head -n 1)
  [ -n "$found" ] || fail 'apt knows no Debian mirror (after apt-get update); set DEBIAN13_MIRROR'
  echo "$found"
}

# The tree gets its name only when it is complete, so an interrupted run leaves no half tree under that name.
make_tree() {
  require debootstrap debootstrap
  local partial=$cache/partial source proxy
  source=$(mirror)
  proxy=$(apt-config shell PROXY Acquire::http::Proxy)
  eval "$proxy"
  [ -z "${PROXY:-}" ] || export http_proxy=$PROXY
  rm -rf --one-file-system "$partial"
  mkdir -p "$partial"
  echo "Making a Debian 13 tree with Node.js in $tree (once, about 350 MB)..." >&2
  debootstrap --force-check-gpg --variant=minbase --include=nodejs,openssl trixie "$partial" "$source" \
    >"$cache/debootstrap.log" 2>&1 || fail "debootstrap failed; see $cache/debootstrap.log"
  rm -rf "$partial"/var/cache/apt/archives/*.deb
  rm -rf --one-file-system "$tree"
  mv "$partial" "$tree"
}

# Expanded as a command, so that `&` yields the process id of the command itself.
in_tree=(chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
  sh -c 'cd "$0" && exec "$@"' "$inside")

# The suite is worth running here only if the server loads the original binary.
prove_build() {
  local log data line
  data=$(mktemp -d -p "$tree/tmp")
  log=$data/log
  "${in_tree[@]}" node dist/src/main.js serve --port 0 --workers 2 --data-dir "/tmp/$(basename "$data")/data" >"$log" 2>&1 &
  local server=$!
  for _ in $(seq 100); do
    grep -q '"msg":"listening"' "$log" && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" || fail "the server ended with $?: $(cat "$log")"
  line=$(grep '"msg":"listening"' "$log") || fail "the server did not start: $(cat "$log")"
  rm -rf "$data"
  [[ $line == *'"uws":"20.57.0 (bundled)"'* ]] ||
    fail "expected uws 20.57.0 (bundled), but the start-up line says: $line"
  echo "Debian $(cat "$tree/etc/debian_version"), Node $("${in_tree[@]}" node --version): uWebSockets.js 20.57.0 (bundled)"
}

main() {
  [ -x "$tree/usr/bin/node" ] && [ -x "$tree/usr/bin/openssl" ] || make_tree
  # A copy, so that a build meanwhile changes nothing. The packages are large, so they are mounted instead.
  rm -rf "${tree:?}$inside"
  mkdir -p "$tree$inside/node_modules"
  tar -C "$project" --exclude=./node_modules --exclude=./.artifacts --exclude=./.git --exclude=./data -cf - . |
    tar -C "$tree$inside" -xf -
  mount --bind "$project/node_modules" "$tree$inside/node_modules"
  mount -o remount,ro,bind "$tree$inside/node_modules"
  mount -t proc proc "$tree/proc"
  # With what is mounted below it: tests open pseudo-terminals.
  mount --rbind /dev "$tree/dev"
  mount -t tmpfs tmpfs "$tree/dev/shm" 2>/dev/null || true
  prove_build
  "${in_tree[@]}" node scripts/test.mjs "$@"
}

if [ "${1:-}" = --in-namespace ]; then
  shift
  main "$@"
  exit
fi

[ "$(id -u)" = 0 ] || fail 'root is needed, for debootstrap, mount and chroot: sudo npm run test:debian13'
require unshare util-linux
[ -f "$project/dist/src/main.js" ] || fail 'the project is not built: npm run build'
[ $# -gt 0 ] || set -- e2e/
mkdir -p "$cache"
# In namespaces of their own, all mounts and processes end with the script.
exec unshare --mount --propagation private --pid --fork --kill-child "$script" --in-namespace "$@"
