// Attendance: who takes part in a run, who watches it, and when it is over.
//
// Usage
//   founder, inside from the beginning       a worker that got the run's token
//     ... offer something ...                  attendance.visit(guest);
//     attendance.call(guest, at_once);         if (attendance.drop()) ... delete it
//     ... until nothing is left to take ...
//     attendance.leave(place 0);
//     while (!attendance.wait(sleep)) ...    // until the others have left, too
//
// A guest speaks for the run:
//   Place& place(i)                  the places, `most` of them
//   bool anything_offered()          is there something that anybody may take?
//   void offer_all(Place&)           offers what the place has for itself.  REQUIRES:
//                                    its lock, or the solo lock
//   void take_part(Place&)           works until it finds nothing more to take; then
//                                    the place has nothing left, neither for itself
//                                    nor on offer
//   void send_token()                sees to it that some worker calls visit()
//   void sleep(word, value, first)   until the word differs from value, or a while has
//                                    passed; `first`: the first sleep of a watch
//   bool stopped()                   nobody is to begin anything more
//
// Coming.  A visitor enters when there is something on offer, and room.  While there is
// not, one visitor watches and the others go away.  Who watches sleeps a while at a
// time, and looks who has not moved since the last look: whoever sits in a long body
// can't give away what it has besides, so the watcher puts that on offer.  The founder
// may work alone under the solo lock, without atomic counting; who takes it over from
// a founder that does not move shares it for good.
//
// Who is inside, the token and the end are those of participants.hpp, in a founded run
// (its R1 to R3, R6 and R7).  In place of a look after leaving (R4) there is a watcher:
// what is left nobody can see but those inside, who may be in a long body.
//
// When the run is over, and why it is over then
//   Everything that is ready belongs to one of those inside: take_part leaves nothing
//   behind, and only they make something ready.  So when the last one leaves, nothing
//   is ready.
//
// Why it ends: nobody enters without having seen an offer, and there are finitely many
//   of them.  (Visitors that come in to see whether there is something find each other
//   inside, and a run of nothing goes on for ever.)
//
// Why an offer is not overlooked
//   Who offers something and calls finds one of these:
//     a token on its way   then its visit() looks after that: the token is put down
//                          before the first look
//     somebody watching    it looks after it has become visible as watcher, and again
//                          after each call; a call is a state of the word it sleeps on,
//                          so none is lost
//     no room              `most` take part
//   and else sends a token.  A visitor goes away only if it sees another one watch.  A
//   watcher that enters sends for the next one to watch, as its own body may be a long
//   one; with nobody to watch and no room, the next one to leave looks again.  All of
//   these words are sequentially consistent with each other and with the offers.
//   (What a participant keeps for itself, for want of room, is only found by a watcher
//   that looks from time to time.)
//
// Threads: visit by workers; call, invite by participants and the creator; wait by the
// creator; hold, drop by whoever has a reference.
#pragma once

#include <algorithm>
#include <climits>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "atomic.hpp"
#include "futex.hpp"
#include "participants.hpp"
#include "solo_lock.hpp"

namespace fastflow {

// What the others see of a participant.
struct Place {
  // Guards what the place has for itself while others are about: held but during
  // bodies.  By the participant, which takes it for every node.
  void lock() noexcept { (void)own.lock(); }  // never shared, so always true
  void unlock() noexcept { own.unlock(); }
  // By others, once in a while.
  [[nodiscard]] bool try_lock() noexcept { return own.try_lock(); }
  void give_back() noexcept { own.give_back(); }

  // By the participant: work goes on.
  void moved() noexcept {
    // relaxed both: watchers only see whether it changes.
    looks.store(looks.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  SoloLock own;
  atomic<bool> taken{false};
  // A watcher has seen no progress, so the bodies are long, or the run is cancelled:
  // give back what is in hand, and look at the clock.
  atomic<bool> in_the_way{false};
  atomic<std::uint64_t> looks{0};
};

class Attendance {
 public:
  // The founder is inside.  Its place (0) is for the host to mark as taken.
  explicit Attendance(std::uint32_t most)
      : most_(most), seen_(most), participants_(most) {}

  SoloLock solo;  // the founder's, while it works alone

  // --- references: the creator has one to begin with, each token brings one
  void hold() noexcept {
    references_.fetch_add(1, std::memory_order_relaxed);  // the caller holds one
  }
  // True: it was the last one.
  [[nodiscard]] bool drop() noexcept {
    // acq_rel: all that was done with the run comes before its deletion.
    return references_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }

  // --- the end
  [[nodiscard]] std::uint32_t inside() const noexcept { return participants_.inside(); }
  [[nodiscard]] bool over() const noexcept { return participants_.over(); }
  // Sleeps once, by sleep(word, value); true if the run is over.
  template <class Sleep>
  bool wait(Sleep&& sleep) noexcept {
    return participants_.wait(sleep);
  }

  // --- asking for company
  [[nodiscard]] bool has_room() const noexcept { return participants_.has_room(); }
  [[nodiscard]] bool could_invite() const noexcept {
    return participants_.wants_company();
  }
  template <class Guest>
  void invite(Guest&& guest) {
    if (!participants_.call()) return;
    hold();
    guest.send_token();
  }
  // Sees to it that somebody notices what is on offer: at once, or some time.
  template <class Guest>
  void call(Guest&& guest, bool at_once) {
    if (at_once ? call_watcher() : watch_.load() != kNobody) return;
    invite(guest);
  }
  // Instead of the creator, whoever gets the first token takes place 0.
  template <class Guest>
  void found_later(Guest&& guest) {
    founder_missing_.store(true);
    invite(guest);
  }

  // --- coming and going
  // REQUIRES: called once for each token.
  template <class Guest>
  void visit(Guest&& guest) {
    participants_.put_down();  // first: what is offered from now on may need the next
    if (founder_missing_.exchange(false)) take_part(guest, guest.place(0));
    while (!over() && !guest.stopped()) {
      if (!has_reason(guest) && !watch(guest)) return;
      if (!participants_.enter()) continue;
      Place& place = claim_place(guest);
      if (watch_.load() == kNobody && has_room()) invite(guest);
      take_part(guest, place);
    }
  }

  // REQUIRES: the caller is inside, at this place, which has nothing left.
  void leave(Place& place) noexcept {
    // release: whoever takes the place next sees it as we leave it (claim_place).
    place.taken.store(false, std::memory_order_release);
    const auto left = participants_.depart();
    if (left.awaited) participants_.wake();
    if (left.over) (void)call_watcher();
  }

  // Ends the sleep of whoever watches; false: nobody does.
  bool call_watcher() noexcept {
    std::uint32_t state = kSomebody;
    if (watch_.compare_exchange_strong(state, kCalled)) {
      futex_wake(watch_, INT_MAX);
      return true;
    }
    return state == kCalled;
  }

 private:
  static constexpr std::uint32_t kNobody = 0, kSomebody = 1, kCalled = 2;

  template <class Guest>
  bool has_reason(Guest& guest) {
    return solo.shared() && has_room() && guest.anything_offered();
  }

  // Places are left before the run is, so there is one; but it may be one that we have
  // just passed.
  template <class Guest>
  Place& claim_place(Guest& guest) {
    for (std::uint32_t i = 0;; i = (i + 1) % most_) {
      Place& place = guest.place(i);
      // acquire: pairs with the release in leave.
      if (!place.taken.exchange(true, std::memory_order_acquire)) return place;
    }
  }

  template <class Guest>
  void take_part(Guest& guest, Place& place) {
    guest.take_part(place);
    leave(place);
  }

  // True: there is a reason to enter.  False: somebody else watches, or it is over.
  template <class Guest>
  bool watch(Guest& guest) {
    std::uint32_t state = kNobody;
    if (!watch_.compare_exchange_strong(state, kSomebody)) return false;
    std::fill(seen_.begin(), seen_.end(), 0);
    bool reason = false;
    for (bool first = true; !over() && !guest.stopped(); first = false) {
      look_around(guest);
      reason = has_reason(guest);
      if (reason) break;
      guest.sleep(watch_, kSomebody, first);
      // Before the next look: calls after this count, and those before it are acquired.
      watch_.exchange(kSomebody);
    }
    watch_.store(kNobody);
    return reason;
  }

  // Puts on offer what those have who have not moved since the last look.
  template <class Guest>
  void look_around(Guest& guest) {
    for (std::uint32_t i = 0; i < most_; ++i) {
      Place& place = guest.place(i);
      // relaxed: only whether it changes between two looks.
      const std::uint64_t now = place.looks.load(std::memory_order_relaxed) + 1;
      if (std::exchange(seen_[i], now) != now) continue;
      place.in_the_way.store(true, std::memory_order_relaxed);  // a hint
      if (i == 0 && solo.try_lock()) {
        guest.offer_all(place);
        solo.share();
      } else if (solo.shared() && place.try_lock()) {
        guest.offer_all(place);
        place.give_back();
      }
    }
  }

  const std::uint32_t most_;
  // Of each place, what the watcher saw last (made in advance: a watcher has nobody to
  // tell that there is no memory); handed on with watch_.
  std::vector<std::uint64_t> seen_;
  FoundedParticipants participants_;
  FutexWord watch_{kNobody};
  atomic<bool> founder_missing_{false};  // the first token takes place 0
  atomic<std::uint32_t> references_{1};
};

}  // namespace fastflow
