#!/usr/bin/env bash
# Breaks one rule of the crate at a time, in a copy, and checks that the simulation of `cargo test`
# fails. Run by hand: scripts/breaks.sh [NAME…]
#
# A break that is not found means that the simulation does not test its rule any more. A break that
# does not apply requires its edit to be adjusted to the code.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree whole=$work/whole
mkdir "$tree" "$whole"
git ls-files -z | xargs -0 cp --parents -t "$whole"
cp -a "$whole/." "$tree"
# Apart from everything else that is built here: nothing broken must be taken for the crate.
export CARGO_TARGET_DIR=$root/target/breaks
failed=0

# broken NAME FILE SED: applies the edit, runs the simulation, wants it to fail, and reverts.
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
# RTP2b2: of two messages of one member the later one counts.
broken newness src/members/newness.rs 's/=> incoming > stored,/=> incoming < stored,/'
# RTP2h2a: a LEAVE during a sync leaves a mark, so that an older page does not bring back the dead.
broken absent-mark src/members/sync.rs 's/if !self\.syncing \{/if true {/'
broken absent-mark-of-unknown src/members/sync.rs 's/        if self\.syncing \{/        if false {/'
# RTP17i: own members enter again on every ATTACHED but one that finds the channel attached and says RESUMED.
broken re-enter src/client/channel.rs 's/if !\(was_attached \&\& resumed\) \{/if !resumed {/'
# RTP17g1: the id is kept on the same connection, and on no other.
broken id-kept src/client/presence_ops.rs 's/filter\(\|_\| same_connection\)/filter(|_| false)/'
broken id-of-another-connection src/client/presence_ops.rs 's/filter\(\|_\| same_connection\)/filter(|_| true)/'
# RTP2b2: a re-entry after the grace period is never older than what was delivered before.
broken id-of-the-past src/server/state/apply.rs 's/let kept = if enters \{ last \} else \{ named \};/let kept = named;/'
# The grace: members outlive their transport by it, and not for ever.
broken grace-none src/server/connections/connection.rs 's/Some\(now\.after\(self\.remain\.into\(\)\)\)/Some(now)/'
broken grace-endless src/server/connections/connection.rs 's/Some\(now\.after\(self\.remain\.into\(\)\)\)/None/'
# A resume takes the members over: from the transport before, and out of their grace.
broken take-over src/server/lifecycle.rs 's/out\.push\(Output::close\(old\)\);//'
broken take-over-of-members src/server/departures.rs 's/if entry\.is_active\(\) \{/if false {/'
# RTN19a: a frame that comes again is acknowledged again, and applied once.
broken acknowledged-once src/server/presence.rs 's/self\.accept\(slot, msg_serial, repeated, None, out\);/if !repeated { self.accept(slot, msg_serial, repeated, None, out); }/'
broken applied-twice src/server/state/apply.rs 's/repeated: connection\.accepted\(record\.msg_serial\),/repeated: false,/'
# RTP19: who is not heard of in a sync has left.
broken residual src/members/sync.rs 's/if record\.last_sync == sync \{ Fate::Stays \}/if true { Fate::Stays }/'

printf '\n'
[ "$failed" = 0 ] && echo "Every break was found."
exit "$failed"
