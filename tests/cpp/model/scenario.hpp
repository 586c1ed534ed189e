// How a model test is written:
//
//   struct MessagePassing {
//     static constexpr int kThreads = 2;   // started at once; more:
//     model::start_thread() atomic<int> flag{0};                 // constructed
//     before the threads start plain<int> data{0}; void thread(int id) { ... }
//     // runs on thread `id`; model::check(...) void finish() { ... } // after
//     all threads ended, still checked static std::string verdict();        //
//     optional, after all executions; "" is good
//   };
//   const bool added = model::add<MessagePassing>("group", "name",
//   {.preemptions = 2});
//
// Outcomes over all executions (what a litmus test asks for) are collected in
// static members and judged by verdict().  Every execution constructs the
// struct anew.
#pragma once

#include <memory>
#include <new>
#include <string>
#include <vector>

#include "model/atomic.hpp"
#include "model/engine.hpp"

namespace model {

enum class Expect { kClean, kViolation };

struct Test {
  std::string group;
  std::string name;
  Options options;
  Expect expect = Expect::kClean;
  std::unique_ptr<Program> program;
  std::string (*verdict)() = nullptr;
};

// All tests of the executable, in the order of registration.
std::vector<Test>& tests();

// Starts one more thread, which calls scenario.thread(id); returns its id.
inline int start_thread() { return Engine::get().start_thread(); }

template <class Scenario>
class ProgramOf : public Program {
 public:
  void main() override {
    scenario_ = new (&storage_) Scenario;
    for (int i = 0; i < Scenario::kThreads; ++i) Engine::get().start_thread();
    Engine::get().join_all();
    scenario_->finish();
    scenario_->~Scenario();
  }
  void thread(int id) override { scenario_->thread(id); }

 private:
  alignas(Scenario) std::byte storage_[sizeof(Scenario)];
  Scenario* scenario_ = nullptr;
};

template <class Scenario>
bool add(const char* group, const char* name, Options options = {},
         Expect expect = Expect::kClean) {
  Test test{group, name, options, expect, std::make_unique<ProgramOf<Scenario>>()};
  if constexpr (requires { Scenario::verdict(); }) test.verdict = &Scenario::verdict;
  tests().push_back(std::move(test));
  return true;
}

}  // namespace model
