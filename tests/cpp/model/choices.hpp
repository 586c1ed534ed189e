// Choices: every decision of one execution (who runs, which store a load reads,
// whom a wake wakes) is an answer to pick(n), a number in [0, n).  The list of
// answers therefore *is* the execution: it can be enumerated, drawn at random,
// and replayed.
//
// Exhaustive mode is stateless depth-first search: an execution repeats the
// recorded answers and answers 0 from there on; advance() raises the last
// answer that can be raised and forgets those behind it.  0 is the tame answer
// everywhere (stay on the thread, read the newest store), so short
// counterexamples come early.
//
// Limit: the answers make sense only for the very same scenario and options.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace model {

// splitmix64 (S. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014): tiny, and good enough to draw schedules.
class Random {
 public:
  explicit Random(std::uint64_t seed = 0) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // A number in [0, n).
  int below(int n) { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }
  // True once in n calls on average.
  bool one_in(int n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

class Choices {
 public:
  enum class Mode { kExhaustive, kRandom, kReplay };

  void start(Mode mode) {
    mode_ = mode;
    made_.clear();
    depth_ = 0;
  }
  // Replays what to_string() returned; 0 after its end.
  void start_replay(const std::string& digits);
  // Replays what was just executed.
  void start_replay() {
    mode_ = Mode::kReplay;
    depth_ = 0;
  }

  [[nodiscard]] bool random() const { return mode_ == Mode::kRandom; }
  [[nodiscard]] std::size_t depth() const { return depth_; }

  // Before each execution.
  void rewind() {
    depth_ = 0;
    if (mode_ == Mode::kRandom) made_.clear();
  }

  // `drawn` is the answer in random mode.  REQUIRES: 0 <= drawn < n <= 36.
  int pick(int n, int drawn) {
    if (n == 1) return 0;
    if (depth_ == made_.size()) {
      const int answer = mode_ == Mode::kRandom ? drawn : 0;
      made_.push_back(
          {static_cast<std::uint8_t>(answer), static_cast<std::uint8_t>(n)});
    }
    const int answer = made_[depth_++].answer;
    return answer < n ? answer : n - 1;
  }

  // Exhaustive mode, after an execution: prepares the next one; false if there
  // is none.
  bool advance();

  [[nodiscard]] std::string to_string() const;

 private:
  struct Choice {
    std::uint8_t answer;
    std::uint8_t count;
  };

  Mode mode_ = Mode::kExhaustive;
  std::vector<Choice> made_;
  std::size_t depth_ = 0;
};

}  // namespace model
