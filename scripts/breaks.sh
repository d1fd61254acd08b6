#!/usr/bin/env bash
# Mutation test: breaks one rule of the crate at a time, in a copy, and checks that the simulation of
# `cargo test` fails. Run by hand: scripts/breaks.sh [NAME…]
#
# If a break is not found, the simulation no longer tests its rule. If a break does not apply, adjust
# its edit to the code.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree whole=$work/whole
mkdir "$tree" "$whole"
git ls-files -z | xargs -0 cp --parents -t "$whole"
cp -a "$whole/." "$tree"
# A separate target directory, so that no other build uses a broken crate.
export CARGO_TARGET_DIR=$root/target/breaks
failed=0

# broken NAME FILE SED: applies the edit, expects the simulation to fail, and reverts the edit.
broken() {
  local name=$1 file=$2 edit=$3 log
  if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
  printf '\n== %s\n' "$name"
  sed -i -E "$edit" "$tree/$file"
  if ! cmp -s "$whole/$file" "$tree/$file"; then
    { diff -U0 "$whole/$file" "$tree/$file" || true; } | grep '^[-+] '
    log=$(cd "$tree" && cargo test --locked --test simulation 2>&1) && log="$log NOT FOUND"
    case $log in
      *"NOT FOUND") echo "not found: every test passes" && failed=1 ;;
      *"test result: FAILED"*) grep -E '^test .* FAILED$|^seed ' <<< "$log" | sort -u | cut -c1-160 ;;
      *) echo "it does not build" && tail -5 <<< "$log" && failed=1 ;;
    esac
  else
    echo "the break does not apply" && failed=1
  fi
  cp "$whole/$file" "$tree/$file"
}

wanted=("$@")
# RTP2b2: of two messages of one member, the newer one applies.
broken newness src/members/newness.rs 's/=> incoming > stored,/=> incoming < stored,/'
# RTP2h2a: a LEAVE during a sync stores ABSENT, so that an older page does not restore the member.
broken absent-mark src/members/sync.rs 's/if !self\.syncing \{/if true {/'
broken absent-mark-of-unknown src/members/sync.rs 's/        if self\.syncing \{/        if false {/'
# RTP17i: own members enter again on every ATTACHED, except with RESUMED on an attached channel.
broken re-enter src/client/channel.rs 's/if !\(was_attached \&\& resumed\) \{/if !resumed {/'
# RTP17g1: a re-entry keeps its id on the same connection only.
broken id-kept src/client/presence_ops.rs 's/filter\(\|_\| same_connection\)/filter(|_| false)/'
broken id-of-another-connection src/client/presence_ops.rs 's/filter\(\|_\| same_connection\)/filter(|_| true)/'
# RTP2b2: a re-entry after the grace period is newer than all events delivered before.
broken id-of-the-past src/server/state/apply.rs 's/let kept = if enters \{ forgotten \} else \{ named \};/let kept = named;/'
# Members outlive their transport by the grace period, and no longer.
broken grace-none src/server/connections/connection.rs 's/Some\(now\.after\(self\.grace_period\.into\(\)\)\)/Some(now)/'
broken grace-endless src/server/connections/connection.rs 's/Some\(now\.after\(self\.grace_period\.into\(\)\)\)/None/'
# A resume takes over the members: it closes the previous transport, and ends the grace period.
broken take-over src/server/lifecycle.rs 's/out\.push\(Output::close\(old\)\);//'
broken take-over-of-members src/server/departures.rs 's/if entry\.is_active\(\) \{/if false {/'
# RTN19a: a repeated frame is acknowledged again, and applied once.
broken acknowledged-once src/server/presence.rs 's/self\.accept\(slot, msg_serial, repeated, None, out\);/if !repeated { self.accept(slot, msg_serial, repeated, None, out); }/'
broken applied-twice src/server/state/apply.rs 's/repeated: connection\.accepted\(record\.msg_serial\),/repeated: false,/'
# RTP19: a member missing from a sync has left.
broken residual src/members/sync.rs 's/if record\.last_sync == sync \{ Fate::Stays \}/if true { Fate::Stays }/'

printf '\n'
[ "$failed" = 0 ] && echo "Every break was found."
exit "$failed"
