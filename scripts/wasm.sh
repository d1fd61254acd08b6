#!/usr/bin/env bash
# Builds the WebAssembly module of the page of presence-server from crates/presence-web and the library, with the
# distribution's Rust only. The module is checked in, with a record of its sources and compiler.
#
#   scripts/wasm.sh            builds it
#   scripts/wasm.sh --check    fails if the checked-in module is outdated
#
# The build is independent of the location of the sources, so that with the same compiler the check
# compares bytes. With another compiler it compares the hash of the sources.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/toolchain.sh
. scripts/toolchain.sh

MODULE=crates/presence-server/page/presence.wasm
RECORD=crates/presence-web/built.txt
TARGET=wasm32-unknown-unknown

compiler="$(/usr/bin/rustc -V) $(/usr/bin/rust-lld -flavor wasm --version | head -n 1)"
sources="$(
  export LC_ALL=C
  find crates/presence-web/src src Cargo.toml crates/presence-web/Cargo.toml crates/presence-web/Cargo.lock scripts/wasm.sh scripts/toolchain.sh \
    -type f | sort | xargs sha256sum | sha256sum | cut -d ' ' -f 1
)"

# Symbol names, and thus their order, depend on the path of a package. So the build always uses this
# path, a link to the repository.
STAGE=/tmp/presence-proto-wasm

build() {
  local cargo_home
  ln -sfn "$(pwd)" "$STAGE"
  cargo_home="${CARGO_HOME:-$HOME/.cargo}"
  # Without panic messages, source locations and paths: smaller, and reproducible.
  RUSTFLAGS="-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none \
    --remap-path-prefix=$STAGE=. --remap-path-prefix=$cargo_home=cargo" \
    bare_cargo build --quiet --locked --release --target "$TARGET" --manifest-path "$STAGE/crates/presence-web/Cargo.toml"
  built="${CARGO_TARGET_DIR:-target}/bare/$TARGET/release/presence_proto_web.wasm"
}

record() {
  echo "compiler: $compiler"
  echo "sources: $sources"
  echo "module: $(sha256sum "$MODULE" | cut -d ' ' -f 1)"
}

recorded() { sed -n "s/^$1: //p" "$RECORD"; }

stale() {
  echo "wasm: $1; run scripts/wasm.sh and commit $MODULE and $RECORD" >&2
  exit 1
}

if [ "${1:-}" != --check ]; then
  build
  cp "$built" "$MODULE"
  record > "$RECORD"
  echo "wasm: $MODULE, $(stat -c %s "$MODULE") bytes, $(gzip -9c "$MODULE" | wc -c) compressed"
  exit
fi

[ "$(recorded module)" = "$(sha256sum "$MODULE" | cut -d ' ' -f 1)" ] ||
  stale "$MODULE is not the recorded one"
if [ "$(recorded compiler)" = "$compiler" ]; then
  build
  cmp -s "$built" "$MODULE" || stale "$MODULE is not what the sources make"
else
  echo "wasm: built by $(recorded compiler), here is $compiler: comparing sources"
  [ "$(recorded sources)" = "$sources" ] || stale "the sources have changed"
fi
echo "wasm: $MODULE is up to date"
