// Participants: who takes part in a run, who is asked to come, and when it is over.
//
// With a guest (below) it is the whole protocol of runs that keep what is to be done in
// one place, where anybody can look for it: maps, streams and graphs of Python calls.
// Its steps alone are what Attendance is built of, for runs whose participants have
// something of their own: nobody can see what is left but those inside, so there who
// comes watches before it enters, and the run is over when the last one leaves.
//
// Usage
//   who made something ready              a worker that got the token
//     participants.invite(guest);           participants.visit(guest);
//   a caller that comes by itself         somebody who waits
//     participants.join(guest);             if (!participants.await_end()) sleep
//   who sees that nothing more comes      in place of one that may never come back
//     participants.close(guest);            participants.leave(guest);
//
// A guest speaks for the run:
//   bool more()         is there something that nobody has taken?  Not in a closed run
//   bool send_token()   sees to it that some worker calls visit(); false: it could not
//   bool take_part()    works until it finds nothing more, or for as long as it likes;
//                       false: it was taken out meanwhile (R8)
//   void announce()     wakes all who wait for the run
//
// Everything is in one word: how many are inside, and flags.  `called`: the token is on
// its way.  `closed`: nobody comes any more.  `awaited`: somebody waits.  `alone`: the
// caller makes all calls, and what calls it is the announcement.
//
// Rules
//   R1  Room is found and taken in one step.
//   R2  Who sets `called` sends the token; nobody else does.
//   R3  A token is put down in the step in which its bringer comes in, or finds that it
//       can't; before it looks for something to do.
//   R4  Who leaves looks once more, after it has left, and invites if there is more.
//   R5  What is ready is published first; then who published it invites, or is inside
//       and goes on to take it.
//   R6  `closed` is for good.  It is over when it is closed and nobody is inside; a
//       founded run, whose founder is inside from the beginning, when nobody is inside.
//       Nobody enters a run that is over.
//   R7  Who waits sets `awaited` and looks in one step, from then on for good.
//   R8  leave() is called once for each that came in: by itself, or in its place by who
//       takes it out.  That is for them to settle; who was taken out comes back to say
//       `false`, and touches the run no more.
//
// What follows
//   There are never more inside than there is room for, and two newcomers can't both
//   retreat where there is room for one: by R1 a step that fails has failed because of
//   another one's, and the first step into an open run with room succeeds.  (Who adds
//   one first and looks then can meet another one that does, and both go away.)
//   At most one token is on its way (R2, R3), so it can be a part of the run.
//   The end is seen by exactly one: by R6 there is one step after which the word says
//   that it is over, and as nobody comes in then it stays so.  That step's maker
//   announces.  All that participants did happens before it, as each of them left by a
//   release in the same word; who sees over() acquires it.
//
// Nothing ready is forgotten, and nobody sleeps on.  Below, "before" and "after" are in
// the order of the word's changes, and of the seq_cst accesses: those to the word, and
// those by which things are published and looked for (where a lock guards them, the
// lock's order does).
//   L1  Published while the token is on its way: the publisher read the word before the
//       token was put down, so it published before; the bringer looks after (R3).
//   L2  Published while there is no room: the publisher read the word before one of
//       those inside left; that one looks after (R4).
//   L3  The token finds no room.  What it was sent for was published before it was put
//       down, so before the next one leaves, who looks (R4).
//   L4  The last two leave at the same time, or one leaves and another closes: one of
//       the steps is the later one, and sees the other in the word it changes.
//   L5  The end comes while somebody is about to sleep: either its `awaited` was set
//       before, then who ends the run announces, or after, then it sees the end (R7).
//       Sleeping itself must not miss an announcement after await_end().
//   L6  Called while the caller that is alone is about to sleep: the same, with
//   `called`
//       in place of the end.
//   L7  One leaves although there is more, for the sake of others: it invites (R4).
//   L8  One is taken out: who does it leaves in its place, and so looks (R4, R8).
//
// Why it ends: who leaves invites only if there is more, so a run with nothing to do
//   brings nobody back; of a closed run more() is false.
//
// Threads: any.  Bodies are run outside; no item and no node costs an atomic
// read-modify-write, only coming, going and inviting.
#pragma once

#include <algorithm>
#include <climits>
#include <cstdint>

#include "futex.hpp"

namespace fastflow {

template <bool kFounded>
class BasicParticipants {
 public:
  // At most `most` are inside at a time.
  explicit BasicParticipants(std::uint32_t most) noexcept
      : most_(std::min(most, kInside)) {}

  // --- looking
  [[nodiscard]] std::uint32_t inside() const noexcept { return inside(word_.load()); }
  [[nodiscard]] bool closed() const noexcept { return (word_.load() & kClosed) != 0; }
  [[nodiscard]] bool over() const noexcept { return over(word_.load()); }
  [[nodiscard]] bool called() const noexcept { return (word_.load() & kCalled) != 0; }
  [[nodiscard]] bool has_room() const noexcept { return has_room(word_.load()); }
  // Whether invite() would do anything; for those inside who have something to spare.
  [[nodiscard]] bool wants_company() const noexcept {
    const std::uint32_t now = word_.load();  // seq_cst: L1, L2
    return (now & kAlone) == 0 && may_invite(now);
  }

  // --- inviting
  // Sees to it that somebody comes for what is ready (R5).  False: send_token() failed.
  template <class Guest>
  bool invite(Guest&& guest) {
    std::uint32_t now = word_.load();  // seq_cst: L1, L2
    do {
      if (!may_invite(now)) return true;
    } while (!word_.compare_exchange_weak(now, now | kCalled));  // R2
    if ((now & kAlone) == 0) return guest.send_token();
    if ((now & kAwaited) != 0) guest.announce();  // L6
    return true;
  }

  // From now on invitations are for the caller, who makes all calls.
  void keep_to_caller() noexcept { word_.fetch_or(kAlone); }

  // --- taking part
  // By the bringer of a token, once for each; by the caller who is called.  False: as
  // of invite().
  template <class Guest>
  bool visit(Guest&& guest) {
    return !arrive() || take_part(guest);
  }
  // By who comes without a token.
  template <class Guest>
  bool join(Guest&& guest) {
    return !enter() || take_part(guest);
  }

  // REQUIRES: for one that is inside (R8).  False: as of invite().
  template <class Guest>
  bool leave(Guest&& guest) {
    const Left left = depart();
    if (left.awaited) guest.announce();                  // L4, L5
    return left.over || !guest.more() || invite(guest);  // R4
  }

  // --- the end
  template <class Guest>
  void close(Guest&& guest) {
    if (closed()) return;
    const std::uint32_t before = word_.fetch_or(kClosed);
    const bool ends = !over(before) && over(before | kClosed);
    if (ends && (before & kAwaited) != 0) guest.announce();  // L4, L5
  }

  // Asks to be announced at the end; true: it is over (R7).
  bool await_end() noexcept { return over(word_.fetch_or(kAwaited)); }
  // The same for who is alone; true also if it is called.
  bool await_call() noexcept {
    const std::uint32_t now = word_.fetch_or(kAwaited);
    return over(now) || (now & kCalled) != 0;
  }

  // --- the steps
  // True: the caller of this sends the token, though there may be no room (R2).
  [[nodiscard]] bool call() noexcept {
    return !called() && (word_.fetch_or(kCalled) & kCalled) == 0;
  }
  void put_down() noexcept { word_.fetch_and(~kCalled); }

  // R1; false: there is no room, or it is closed.
  [[nodiscard]] bool enter() noexcept {
    std::uint32_t now = word_.load();
    do {
      if (!has_room(now)) return false;
    } while (!word_.compare_exchange_weak(now, now + 1));
    return true;
  }

  // What a departure was; the announcement is left to whose it was.
  struct Left {
    bool over, awaited;  // awaited: it is over, and somebody waits for that
  };
  Left depart() noexcept {
    const std::uint32_t before = word_.fetch_sub(1);  // release: what follows
    const bool ends = over(before - 1);
    return {ends, ends && (before & kAwaited) != 0};
  }

  // Sleeps once on the word, by sleep(word, value); true if it is over (R7).
  template <class Sleep>
  bool wait(Sleep&& sleep) noexcept {
    const std::uint32_t now = word_.fetch_or(kAwaited) | kAwaited;
    if (over(now)) return true;
    sleep(word_, now);
    return over();
  }
  // Ends the sleep of those who wait.
  void wake() noexcept { futex_wake(word_, INT_MAX); }

 private:
  static constexpr std::uint32_t kCalled = 1U << 31, kClosed = 1U << 30,
                                 kAwaited = 1U << 29, kAlone = 1U << 28,
                                 kInside = kAlone - 1;

  static std::uint32_t inside(std::uint32_t word) noexcept { return word & kInside; }
  static bool over(std::uint32_t word) noexcept {
    if (kFounded) return inside(word) == 0;
    return (word & (kClosed | kInside)) == kClosed;
  }
  [[nodiscard]] bool has_room(std::uint32_t word) const noexcept {
    const bool open = kFounded ? inside(word) > 0 : (word & kClosed) == 0;  // R6
    return open && inside(word) < most_;
  }
  [[nodiscard]] bool may_invite(std::uint32_t word) const noexcept {
    return (word & kCalled) == 0 && has_room(word);
  }

  // R1 and R3, in one step.
  bool arrive() noexcept {
    std::uint32_t now = word_.load(), next = 0;
    do {
      next = (now & ~kCalled) + (has_room(now) ? 1 : 0);
    } while (!word_.compare_exchange_weak(now, next));
    return has_room(now);
  }

  template <class Guest>
  bool take_part(Guest& guest) {
    return !guest.take_part() || leave(guest);  // R8
  }

  const std::uint32_t most_;
  FutexWord word_{kFounded ? 1U : 0U};
};

using Participants = BasicParticipants<false>;
using FoundedParticipants = BasicParticipants<true>;

}  // namespace fastflow
