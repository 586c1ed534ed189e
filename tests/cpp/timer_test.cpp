#include "timer.hpp"

#include <doctest/doctest.h>

#include <latch>

#include "stress.hpp"

using fastflow::Timer;
using namespace std::chrono_literals;

namespace {

struct Record {
  std::vector<int>* order;
  int number;
  std::latch* done;
  static void note(void* argument) {
    auto* self = static_cast<Record*>(argument);
    self->order->push_back(self->number);  // callbacks run one after the other
    self->done->count_down();
  }
};

}  // namespace

TEST_CASE("callbacks come in the order of their due times, ties as scheduled") {
  Timer timer;
  std::vector<int> order;
  std::latch done(5);
  const auto due = Timer::Clock::now() + 20ms;
  Record records[5];
  for (int i = 0; i < 5; ++i) records[i] = {&order, i, &done};
  timer.at(due + 10ms, Record::note, &records[3]);
  timer.at(due, Record::note, &records[0]);
  timer.at(due, Record::note, &records[1]);
  timer.at(due + 20ms, Record::note, &records[4]);
  timer.at(due, Record::note, &records[2]);
  done.wait();
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
  CHECK(timer.pending() == 0);
}

TEST_CASE("never early") {
  Timer timer;
  struct State {
    Timer::Clock::time_point due;
    std::latch done{1};
    bool early = true;
  } state;
  state.due = Timer::Clock::now() + 5ms;
  timer.at(
      state.due,
      [](void* argument) {
        auto* s = static_cast<State*>(argument);
        s->early = Timer::Clock::now() < s->due;
        s->done.count_down();
      },
      &state);
  state.done.wait();
  CHECK_FALSE(state.early);
}

TEST_CASE("an earlier entry overtakes the one that is waited for") {
  Timer timer;
  std::vector<int> order;
  std::latch done(1);
  Record early{&order, 1, &done}, late{&order, 2, &done};
  const Timer::Id id = timer.after(1h, Record::note, &late);
  timer.after(1ms, Record::note, &early);
  done.wait();
  CHECK(order == std::vector<int>{1});
  CHECK(timer.cancel(id));
  CHECK_FALSE(timer.cancel(id));
  CHECK_FALSE(timer.cancel(12345));
}

TEST_CASE("a callback may schedule and cancel") {
  Timer timer;
  struct State {
    Timer* timer;
    int left = 100;
    std::latch done{1};
    static void again(void* argument) {
      auto* s = static_cast<State*>(argument);
      if (--s->left == 0) {
        s->done.count_down();
      } else {
        const Timer::Id other = s->timer->after(1h, again, s);
        s->timer->after(0ms, again, s);
        s->timer->cancel(other);
      }
    }
  } state{&timer};
  timer.after(0ms, State::again, &state);
  state.done.wait();
  CHECK(timer.pending() == 0);
}

TEST_CASE("the destructor drops what is not due") {
  int called = 0;
  {
    Timer timer;
    timer.after(
        1h, [](void* n) { ++*static_cast<int*>(n); }, &called);
  }
  CHECK(called == 0);
}

TEST_CASE("stress: every entry is either called once or cancelled") {
  const std::uint64_t seed = stress::seed();
  std::vector<std::atomic<int>> calls(3 * 3000);
  std::atomic<int> cancelled{0};
  {
    Timer timer;
    std::latch rest(3 * 3000);
    struct One {
      std::atomic<int>* calls;
      std::latch* rest;
    };
    std::vector<One> ones;
    for (auto& c : calls) ones.push_back({&c, &rest});
    auto call = [](void* argument) {
      auto* one = static_cast<One*>(argument);
      one->calls->fetch_add(1);
      one->rest->count_down();
    };
    stress::threads(3, seed, [&](int t, auto& random) {
      std::vector<Timer::Id> ids;
      for (std::size_t i = 0; i < 3000; ++i) {
        One* one = &ones[static_cast<std::size_t>(t) * 3000 + i];
        ids.push_back(
            timer.after(std::chrono::microseconds(random() % 5000), call, one));
        if (timer.cancel(ids[random() % ids.size()])) {
          cancelled.fetch_add(1);
          rest.count_down();
        }
      }
    });
    rest.wait();
  }
  int called = 0;
  for (auto& c : calls) {
    CHECK(c.load() <= 1);
    called += c.load();
  }
  CHECK(called + cancelled.load() == 3 * 3000);
}
