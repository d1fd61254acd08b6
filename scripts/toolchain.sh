# Sourced by the other scripts: a Rust toolchain that can build for targets without a shipped
# standard library. `bare_cargo ARGS…` runs cargo with `core` and `alloc` built from source.
#
# The distribution's Rust comes with the library's sources, so it needs no download from anywhere
# else. RUSTC_BOOTSTRAP lets its stable compiler take `-Zbuild-std`; nothing that is shipped to
# users is built this way, apart from the page's WebAssembly module.

BARE_PACKAGES="rustc-web rust-web-src lld"
BARE_SYSROOT=/usr/lib/rustlib/src/rust/library/Cargo.lock

if [ ! -e "$BARE_SYSROOT" ] || [ ! -x /usr/bin/rustc ] || [ ! -x /usr/bin/wasm-ld ]; then
  echo "installing: $BARE_PACKAGES"
  apt-get update -q >/dev/null
  # shellcheck disable=SC2086 # a list of packages
  apt-get install -y -q --no-install-recommends $BARE_PACKAGES >/dev/null
fi

bare_cargo() {
  local command="$1"
  shift
  # /usr/bin first: a rustup shim named `rustc` must not be picked up half way.
  PATH="/usr/bin:$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/bare" \
    /usr/bin/cargo "$command" -Zbuild-std=core,alloc "$@"
}
