#!/usr/bin/env bash
# Mutation test: breaks one rule of the crate at a time, in a copy, and checks that tests fail. Run by
# hand:
#
#   scripts/breaks.sh [NAME…]           breaks of the rules of presence, found by the simulation
#   scripts/breaks.sh cluster [NAME…]   breaks of the replication, found by the tests of several nodes
#
# If a break is not caught, its rule is not tested any more. If a break does not apply, adjust its edit
# to the code.
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

tests=(--test simulation)
if [ "${1-}" = cluster ]; then
  shift
  tests=(--test server -- cluster:: replication::)
  only=cluster
fi
wanted=("$@")

# broken NAME FILE SED: applies the edit, expects the tests to fail, and reverts the edit.
broken() {
  local name=$1 file=$2 edit=$3 log verdict
  if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
  sed -i -E "$edit" "$tree/$file"
  if cmp -s "$whole/$file" "$tree/$file"; then
    verdict="NOT CAUGHT: the break does not apply"
  elif log=$(cd "$tree" && timeout 600 cargo test --locked "${tests[@]}" 2>&1); then
    verdict="NOT CAUGHT: every test passes"
  else
    case $? in
      124) verdict="caught: a test does not end" ;;
      *) verdict=$(sed -nE 's/^(test .*) \.\.\. FAILED$/caught: \1/p; s/^(seed .*)/caught: \1/p' <<< "$log" |
        sed q | cut -c1-140) ;;
    esac
    [ -n "$verdict" ] || verdict="NOT CAUGHT: it does not build$(printf '\n'; tail -5 <<< "$log")"
  fi
  printf '%-28s %s\n' "$name" "$verdict"
  [[ $verdict == caught* ]] || failed=1
  cp "$whole/$file" "$tree/$file"
}

rules_of_presence() {
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
}

replication() {
  # Which entries count, and who takes part.
  broken fence src/server/state/incarnations.rs 's/!found\.fenced \&\& found\.next_seq == seq/found.next_seq == seq/'
  broken seq-repeated src/server/state/incarnations.rs 's/found\.next_seq == seq/found.next_seq >= seq/'
  broken seq-gap src/server/state/incarnations.rs 's/found\.next_seq == seq/found.next_seq <= seq/'
  broken node-name src/server/state/incarnations.rs 's/found\.node == \*node \&\& !found/!found/'
  broken repeated-position src/server/state/fold.rs 's/position <= fold\.position/false/'
  broken join-after src/server/state/incarnations.rs 's/found\.node == \*node \&\& number > after/false/'
  broken join-fences src/server/state/incarnations.rs 's/\.for_each\(\|\(_, found\)\| found\.fence\(\)\)/.for_each(drop)/'
  broken halt src/server/log.rs 's/_ => self\.halt\(Halt::NameTaken, out\),/_ => {}/'
  broken leaving src/server/lifecycle.rs 's/self\.propose\(Record::Leaving\);/();/'
  broken alive src/server/log.rs 's/proposals\.is_quiet\(\&options, now\.mono\)/false/'
  # A silent node.
  broken gone-guard src/server/state/fold.rs 's/found\.next_seq\(\) == gone\.next_seq/true/'
  broken gone-fences src/server/state/fold.rs 's/found\.fence\(\);/();/'
  broken gone-ends src/server/state/fold.rs 's/filter\(\|_\| gone\.ends\)/filter(|_| true)/'
  broken gone-grace src/server/replication/peers.rs 's/now\.saturating_since\(peer\.heard\)/now.saturating_since(Instant::ZERO)/'
  broken lease-clocks src/server/log.rs 's/replication\.peers\.restart\(now\);/();/'
  broken fence-seen src/server/log.rs 's/self\.state\.incarnation\(own\)\.is_none_or\(\|found\| found\.is_fenced\(\)\)/false/'
  broken adopt-again src/server/log.rs 's/self\.propose\(Record::Adopt\(adopt\)\);/drop(adopt);/'
  broken members-lost src/server/adoption.rs 's/self\.connections\.take_members_lost\(attachment\) \&\& is_active/false/'
  broken send-away src/server/log.rs 's/replication\.options\.without_log == WithoutLog::Leave \{/false {/'
  # The log is away.
  broken grace-log-away src/server/replication/mod.rs 's/!self\.access\.available \|\| self\.incarnation\(\)\.is_none\(\)/false/'
  broken grace-after-away src/server/replication/mod.rs 's/end\.max\(\(end \+ self\.access\.outage\)\.min\(self\.access\.since \+ period\)\)/end/'
  broken refuse-late src/server/log.rs 's/replication\.options\.wait;/Duration::from_secs(3_600);/'
  # What is sent again.
  broken resend-late src/server/replication/proposals.rs 's/self\.resend_at = sooner\(self\.resend_at, Some\(now \+ RETRY\)\);/let _ = now;/'
  broken resend-never src/server/replication/proposals.rs 's/if due \{ self\.sent\.len\(\) \} else \{ 0 \}/0/'
  broken resend-first src/server/replication/proposals.rs 's/self\.sent\.iter\(\)\.take\(count\)/self.sent.iter().skip(1).take(count)/'
  broken requeue src/server/replication/proposals.rs 's/matches!\(record, Record::Adopt\(_\) \| Record::Gone\(_\) \| Record::Counts\(_\)\)/true/'
  broken refused-hole src/server/replication/proposals.rs 's/sent\.refused\.extend\(sent\.entry\.take_records\(\)\);/self.sent.retain(|sent| sent.entry.id() != id);/'
  broken refused-after-all src/server/replication/proposals.rs 's/if records == 0 \{ refused \} else \{ Vec::new\(\) \}/refused/'
  broken pass-over src/server/commit.rs 's/self\.refuse_all\(alloc::vec!\[record\], out\)/drop(record)/'
  # Connections that move.
  broken adopt-ended src/server/state/fold.rs 's/self\.has_ended\(\&adopt\.connection\)/false/'
  broken ended-remembered src/server/state/fold.rs 's/fold\.ended\.insert\(id, fold\.time\.minus\(-i64::from\(ttl\)\)\);/drop((id, ttl));/'
  broken end-unknown src/server/commit.rs 's/self\.state\.remember_ended\(origin, connection\);/drop(connection);/'
  broken log-time src/server/state/fold.rs 's/fold\.time\.max\(entry\.stamp\)/entry.stamp/'
  broken owner src/server/commit.rs 's/self\.state\.owned\(id, origin\.incarnation\)/self.state.by_id(id)/'
  broken taken-over src/server/commit.rs 's/self\.taken_over\(slot, out\)/drop(slot)/'
  broken keep-for-client src/server/adoption.rs 's/return self\.keep_for_client\(slot\);/return;/'
  broken adopt-answer src/server/adoption.rs '/fn request_adoption/,/^    }/s/self\.counters\.opened \+= 1;/self.send_connected(slot, Some(key.clone()), None, out);/'
  broken attach-answers src/server/adoption.rs 's/self\.restore_attachments\(slot, out\);/();/'
  broken catch-up src/server/attach.rs 's/self\.must_catch_up\(slot, \&frame\)/false/'
  # Frames in the log, and their answers.
  broken ack-early src/server/proposals.rs 's/self\.connections\.get_mut\(slot\)\.in_log\(\)\.enter\(msg_serial\);/self.send_ack(slot, msg_serial, None, out);/'
  broken answer-order src/server/proposals.rs 's/!self\.has_log\(\) \|\| !self\.connections\.get\(slot\)\.has_waiting_answers\(\)/true/'
  broken dismiss-in-log src/server/departures.rs 's/none \&\& self\.connections\.get\(slot\)\.frames_in_log\(\) == 0/none/'
  broken grace-over-in-log src/server/departures.rs 's/!state\.has_members\(\) \&\& self\.connections\.get\(slot\)\.frames_in_log\(\) == 0/!state.has_members()/'
  broken grace-in-log src/server/lifecycle.rs 's/self\.state\.connection\(slot\)\.has_members\(\) \|\| connection\.frames_in_log\(\) > 0/self.state.connection(slot).has_members()/'
  broken end-in-log src/server/lifecycle.rs 's/connection\.announced\(\) != 0 \|\| connection\.frames_in_log\(\) > 0 \|\| self\.is_adopting\(slot\)/connection.announced() != 0 || self.is_adopting(slot)/'
  broken messages-once src/server/commit.rs 's/let res = if repeated \{/let res = if false {/'
  broken leaves-first src/server/commit.rs 's/self\.deliver_batches\(out\);/();/'
  # Serials.
  broken serial-of src/server/state/mod.rs 's/Some\(_\) => self\.stream\.last\(\),/Some(_) => self.channels[channel].last(),/'
  broken local-serial src/server/state/mod.rs 's/Some\(fold\) => fold\.local\.next\(at\.wall\),/Some(_) => self.stream.next(at.wall),/'
  broken leave-serial src/server/state/channel.rs 's/record == 0 \|\| self\.record != record/true/'
}

if [ "${only-}" = cluster ]; then replication; else rules_of_presence; fi
[ "$failed" = 0 ] && echo "Every break was caught."
exit "$failed"
