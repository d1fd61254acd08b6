# Sourced by the other scripts: a Rust toolchain that can build for targets without a shipped
# standard library. `bare_cargo COMMAND ARGS…` runs cargo with `core` and `alloc` built from source.
#
# The distribution's Rust comes with the library's sources, so it needs no download from anywhere
# else. RUSTC_BOOTSTRAP lets its stable compiler take `-Zbuild-std`; nothing that is shipped to
# users is built this way, apart from the page's WebAssembly module.

install() {
  echo "installing: $*"
  [ -n "${toolchain_updated:-}" ] || apt-get update -q > /dev/null
  toolchain_updated=1
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@" > /dev/null
}

if [ ! -e /usr/lib/rustlib/src/rust/library/Cargo.lock ] || [ ! -x /usr/bin/rustc ] ||
  [ ! -x /usr/bin/cargo ] || [ ! -L /usr/bin/rust-lld ]; then
  install rustc-web cargo-web rust-web-src rust-web-llvm
fi
# The linker that belongs to this compiler: a link to one of the distribution's.
[ -x /usr/bin/rust-lld ] || install "$(basename "$(readlink /usr/bin/rust-lld)")"

bare_cargo() {
  local command="$1"
  shift
  # /usr/bin first: a rustup shim named `rustc` must not be picked up half way.
  PATH="/usr/bin:$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/bare" \
    /usr/bin/cargo "$command" -Zbuild-std=core,alloc "$@"
}
