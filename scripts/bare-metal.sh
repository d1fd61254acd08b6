#!/usr/bin/env bash
# Checks that the library needs no standard library:
# 1. it builds for two targets without one, a microcontroller and WebAssembly;
# 2. a program without `std` links it, runs a complete presence exchange and exits with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/toolchain.sh
. scripts/toolchain.sh

for target in thumbv7em-none-eabi wasm32-unknown-unknown; do
  for features in "" client,json client,server,json,msgpack; do
    echo "bare-metal: library for $target, features: ${features:-none}"
    bare_cargo build --quiet --lib --locked -p presence-proto --target "$target" \
      --no-default-features --features "$features"
  done
done

echo "bare-metal: a program without std on this machine"
host="$(/usr/bin/rustc -vV | sed -n 's/^host: //p')"
bare_cargo run --quiet --locked --target "$host" --manifest-path tests/no_std/Cargo.toml
echo "bare-metal: ok"
