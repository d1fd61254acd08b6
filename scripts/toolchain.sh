# Sourced by other scripts: a Rust toolchain for targets without a prebuilt standard library.
# `bare_cargo COMMAND ARGS…` runs cargo with `core` and `alloc` built from source.
#
# The distribution packages the library's sources, so that nothing else is downloaded.
# RUSTC_BOOTSTRAP enables `-Zbuild-std` in its stable compiler. The only shipped file built this way is
# the page's WebAssembly module.

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
# The compiler's linker is a link to a package that may not be installed.
[ -x /usr/bin/rust-lld ] || install "$(basename "$(readlink /usr/bin/rust-lld)")"

bare_cargo() {
  local command="$1"
  shift
  # /usr/bin first: cargo must not find a rustup shim named `rustc`.
  PATH="/usr/bin:$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/bare" \
    /usr/bin/cargo "$command" -Zbuild-std=core,alloc "$@"
}
