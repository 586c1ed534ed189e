// GraphRun: one run of a GraphPlan on a pool, the calling thread included.
//
// Usage
//   GraphRun* run = GraphRun::create(pool, plan, body, on_failure, most);
//   while (!run->help(deadline)) ...        // takes part; false: the deadline came
//   while (!run->wait_for(timeout)) ...     // until the others are done, too
//   run->complete(v), run->failed() ...     // what became of the nodes
//   run->release();
//
// Algorithm
//   Participants (the creator, workers that took the run's token) hold ready nodes.
//   Each has a private stack of node numbers, newest on top, and of ranges: the edges
//   of a node with many successors, or node numbers that may be sources.  Ranges are
//   cut when they are used, so a fan-out of a million costs one entry.  Blocks of nodes
//   and halves of ranges are offered to the others on a work-stealing deque; of few
//   nodes one is put into the mailbox of somebody who looks for work.  A participant
//   takes a handful of nodes, runs their bodies, then arrives at all their successors;
//   those that became ready go on top of its stack, so it stays close to what it has
//   just touched.  With a handful known in advance, the memory of all their successors'
//   counters is asked for at once instead of one after the other.  In a graph whose
//   neighbours lie together it goes from node to node instead, alone (follow) and,
//   while bodies are short, in company (follow_together): the first successor that is
//   ready is the next.  So each participant has a region of its own, and writes
//   counters that another one writes, too, only where the regions meet.  Hands would
//   take what is ready in a row, and meet in every row.
//
//   Alone or together.  Taking part costs memory traffic: a counter that another core
//   wrote last is 50 to 100 ns away.  So the first participant begins alone, counting
//   without atomic read-modify-writes, and measures.  Once the bodies are long enough
//   for it (pays_to_share, by two looks at the clock, as one may have met with a
//   hiccup), the others come in.  What is ready besides may be the beginning of a long
//   way, as the second row of a grid is while the first is run: so it counts with the
//   length of ways, half of what was run between two returns to the stack.  Until then
//   it holds the solo lock, but for the time of bodies while other nodes are ready.
//
//   Long bodies come unannounced: a participant can't give away what it has while it is
//   in one.  So as soon as there is work for two, somebody is called, if only to watch
//   (Attendance), a millisecond at a time and without counting against the pool's
//   limit.  What a participant that does not move has besides its hand is put on its
//   deque for it; that is why a participant holds its place's lock while it is not in a
//   body.
//
// Why every node runs once
//   A node becomes ready by the one arrival that is its last (Arrivals), or is a source
//   and lies in exactly one range.  A ready node is in one private stack, block,
//   mailbox or hand.
//
// Why the run ends, and only when it may: see Attendance.  Owners empty their own deque
//   and close their mailbox before they leave.  When the last one has left, all nodes
//   ran, or the rest waits for nodes that failed.
//
// Memory: a participant that finds none left stops the run; what it had in hand does
// not run, it leaves as always, and out_of_memory() tells the creator.
//
// Failure: on_failure kStop ends the run as soon as possible; kContinue goes on, and as
// a failed node does not arrive at its successors, its descendants never become ready.
//
// Threads
//   help, start, wait_for, release: the creator.  cancel: any thread.  complete,
//   failed, executed: after the end.  The token runs on workers of the native lane.
// Lifetime: counted references of the creator and of the token.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "arrivals.hpp"
#include "atomic.hpp"
#include "attendance.hpp"
#include "cache_line.hpp"
#include "futex.hpp"
#include "graph_plan.hpp"
#include "job.hpp"

namespace fastflow {

class Pool;

// What is done for each node.  With `checked`, that is called in place of `call`; false
// means that the node failed.
struct NodeBody {
  void (*call)(std::int64_t node, void* data) = nullptr;
  bool (*checked)(std::int64_t node, void* data) = nullptr;
  void* data = nullptr;
};

enum class OnFailure : std::uint8_t { kStop, kContinue };

class GraphRun : private Job {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    OnFailure on_failure = OnFailure::kStop;
    std::uint32_t most = 1;  // participants at a time, the creator included
  };

  static GraphRun* create(Pool& pool, std::shared_ptr<const GraphPlan> plan,
                          NodeBody body, Options options);
  GraphRun(const GraphRun&) = delete;
  GraphRun& operator=(const GraphRun&) = delete;
  void release() noexcept;

  // Takes part until nothing is left to take, or until `deadline`; false if that came
  // first.
  bool help(Clock::time_point deadline);
  // Instead of help: leaves it all to the workers.
  void start();
  // True when the run has ended; false after `timeout`.
  bool wait_for(std::chrono::nanoseconds timeout) noexcept;
  // Nodes that have not started never will.
  void cancel() noexcept;

  // Whether v's body was called.
  [[nodiscard]] bool complete(std::uint32_t v) const noexcept {
    return arrivals_.complete(v);
  }
  // How many bodies were called.
  [[nodiscard]] std::uint64_t executed() const noexcept { return executed_.load(); }
  // The run was stopped, as there was no memory for it.
  [[nodiscard]] bool out_of_memory() const noexcept { return out_of_memory_.load(); }
  // Nodes whose body failed, in the order of their failures.
  [[nodiscard]] const std::vector<std::uint32_t>& failed() const { return failed_; }

 private:
  struct Participant;
  using Nanoseconds = std::chrono::nanoseconds;

  GraphRun(Pool& pool, std::shared_ptr<const GraphPlan> plan, NodeBody body,
           Options options);
  ~GraphRun();

  // Coming and going.
  struct Guest;  // speaks for us to attendance_
  static void run_token(Job* token, Worker& worker);
  void invite();
  [[nodiscard]] bool anything_offered() const noexcept;

  // Taking part.  False (kDeadline): the deadline came before the end.
  enum class Alone : std::uint8_t { kDone, kShared, kDeadline };
  bool participate(Participant& self, Clock::time_point deadline) noexcept;
  bool take_part(Participant& self, Clock::time_point deadline);
  void run_out_of_memory() noexcept;
  Alone work_alone(Participant& self, Clock::time_point deadline);
  bool work_together(Participant& self, Clock::time_point deadline);
  bool take_turns(Participant& self, Clock::time_point deadline);
  std::uint32_t run_hand(Participant& self);
  std::uint32_t run_piece(Participant& self);
  [[nodiscard]] bool follows(const Participant& self) const noexcept;
  std::uint32_t follow_together(Participant& self);  // graph_together.cpp
  void give_up(Participant& self) noexcept;

  // Alone (graph_alone.cpp).
  void call_company(Participant& self);
  bool run_hand_alone(Participant& self);
  bool follow(Participant& self);
  template <bool kChecked, bool kPlain>
  struct Path;
  template <bool kChecked, bool kPlain>
  bool follow_nodes(Participant& self);
  template <bool kChecked>
  bool run_body(Participant& self, const NodeBody& body, std::uint32_t v);
  std::uint32_t put_aside(Participant& self, std::uint32_t ready);
  void put_aside_edges(Participant& self, const std::uint32_t* begin,
                       const std::uint32_t* end);
  std::uint32_t settle_in_company(Participant& self, std::uint32_t hand,
                                  std::uint32_t n);

  // Bodies, and what they make ready (graph_nodes.hpp).
  std::uint32_t take_hand(Participant& self, std::uint32_t most);
  std::uint32_t run_bodies(Participant& self, std::uint32_t n);
  std::uint32_t run_checked(Participant& self, std::uint32_t n);
  void put_back(Participant& self, std::uint32_t n);
  template <bool kAlone>
  void settle(Participant& self, std::uint32_t n);
  std::uint32_t settle_alike(Participant& self, std::uint32_t t, std::uint32_t i,
                             std::uint32_t n);
  template <bool kAlone>
  void settle_edges(Participant& self, std::uint32_t begin, std::uint32_t end);
  template <bool kAlone>
  bool refill(Participant& self);
  [[nodiscard]] std::uint32_t next_source(std::uint32_t begin, std::uint32_t end) const;
  void fail(std::uint32_t node) noexcept;

  // Each other.
  void offer(Participant& self, std::uint32_t in_hand);
  bool find_work(Participant& self, Clock::time_point deadline);
  [[nodiscard]] bool is_wanted() const noexcept;
  [[nodiscard]] bool will_be_wanted(const Participant& self) const noexcept;
  bool give_one(Participant& self, std::uint32_t in_hand);
  bool wait_for_work(Participant& self, Clock::time_point deadline);
  bool search(Participant& self, Clock::time_point deadline);
  bool steal(Participant& self) noexcept;
  bool steal_from(Participant& victim, Participant& self) noexcept;
  [[nodiscard]] Participant& next_to(const Participant& other) const noexcept;
  [[nodiscard]] bool pays_to_share(const Participant& self) const noexcept;
  [[nodiscard]] std::uint32_t affordable(const Participant& self) const noexcept;
  [[nodiscard]] std::uint32_t hand_size(const Participant& self) const noexcept;
  [[nodiscard]] bool should_look(const Participant& self) const noexcept;
  void look(Participant& self);
  [[nodiscard]] bool stopped() const noexcept {
    return stopped_->load(std::memory_order_relaxed);  // a hint that comes in time
  }

  Pool& pool_;
  const std::shared_ptr<const GraphPlan> plan_;
  const NodeBody body_;
  const Options options_;
  const std::uint32_t* const first_;
  const std::uint32_t* const targets_;
  const bool scattered_;
  const bool plain_;    // no node has many predecessors or successors
  const bool loose_;    // no node has any, and none can fail
  const bool follows_;  // plain, its neighbours lie together, and none can fail
  const Nanoseconds cost_of_company_;  // for each node

  Arrivals<GraphPlan> arrivals_;

  Attendance attendance_;
  std::unique_ptr<CacheAligned<Participant>[]> places_;  // most; [0] is the founder's
  CacheAligned<atomic<std::uint32_t>> hungry_{0};  // look for work, and got no mail
  CacheAligned<atomic<bool>> stopped_{false};
  atomic<bool> out_of_memory_{false};
  atomic<std::uint64_t> executed_{0};
  std::mutex failures_;
  std::vector<std::uint32_t> failed_;  // guarded by failures_ until the end
};

}  // namespace fastflow
