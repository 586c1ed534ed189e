// Mailbox under the checker: what is given arrives once, with all that was written
// before, whether its owner reads it or somebody takes it back.
#include "mailbox.hpp"

#include "model/scenario.hpp"

namespace {

using fastflow::Mailbox;

// Thread 0 owns the box and looks into it, threads 1 .. kGivers give one node each, the
// others try to take one back.
template <int kGivers, int kThieves>
struct Mail {
  static constexpr int kThreads = 1 + kGivers + kThieves;
  Mailbox box;
  model::plain<int> written[kGivers];
  int given[kGivers] = {};
  int got[kGivers] = {};

  void take(std::uint32_t v) {
    if (v == Mailbox::kNone) return;
    model::check(v < kGivers, "a node that was given");
    model::check(written[v] == 1, "what was written before is seen");
    ++got[v];
  }
  void thread(int id) {
    if (id == 0) {
      box.open();
      if (!box.full()) model::yield();
      take(box.close());
    } else if (id <= kGivers) {
      const auto v = static_cast<std::uint32_t>(id - 1);
      written[v] = 1;
      given[v] = box.give(v) ? 1 : 0;
    } else {
      take(box.take_back());
    }
  }
  void finish() {
    for (int v = 0; v < kGivers; ++v) {
      model::check(got[v] == given[v], "each given node arrives once");
    }
  }
};

constexpr const char* kGroup = "mailbox";
constexpr model::Options kAll{.preemptions = model::kUnbounded};
constexpr model::Options kThree{.preemptions = 3};

[[maybe_unused]] const bool added[] = {
    model::add<Mail<1, 0>>(kGroup, "one gives", kAll),
    model::add<Mail<2, 0>>(kGroup, "two give", kAll),
    model::add<Mail<1, 1>>(kGroup, "one gives, one takes back", kAll),
    model::add<Mail<2, 2>>(kGroup, "two give, two take back", kThree),
};

}  // namespace
