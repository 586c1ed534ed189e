// Runs the model tests that are linked into this executable.
//
//   --group=NAME   only tests of this group        --only=TEXT  only names with
//   TEXT
//   --seed=N       for the random executions       --list       names only
//   --replay=S     one execution, printed (with --only for the test)
//   --require=N    fail if fewer executions were explored in total
//   --expect-violation   succeed only if some test finds a violation (for
//   mutants)
//
// Exit codes: 0 as expected, 1 not, 2 usage, 42 a violation that was not
// expected.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "model/scenario.hpp"

namespace model {

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

namespace {

constexpr int kViolationExit = 42;

struct Arguments {
  std::string group;
  std::string only;
  std::string replay;
  bool replaying = false;
  bool list = false;
  bool expect_violation = false;
  std::uint64_t seed = std::random_device{}();
  std::uint64_t require = 0;
};

bool take(const char* argument, const char* name, std::string* value) {
  const std::size_t length = std::strlen(name);
  if (std::strncmp(argument, name, length) != 0) return false;
  *value = argument + length;
  return true;
}

bool parse(int argc, char** argv, Arguments* to) {
  for (int i = 1; i < argc; ++i) {
    std::string value;
    if (take(argv[i], "--group=", &to->group) || take(argv[i], "--only=", &to->only)) {
      continue;
    }
    if (take(argv[i], "--replay=", &to->replay)) {
      to->replaying = true;
    } else if (take(argv[i], "--seed=", &value)) {
      to->seed = std::strtoull(value.c_str(), nullptr, 10);
    } else if (take(argv[i], "--require=", &value)) {
      to->require = std::strtoull(value.c_str(), nullptr, 10);
    } else if (std::strcmp(argv[i], "--list") == 0) {
      to->list = true;
    } else if (std::strcmp(argv[i], "--expect-violation") == 0) {
      to->expect_violation = true;
    } else {
      std::fprintf(stderr, "unknown argument %s (see the top of main.cpp)\n", argv[i]);
      return false;
    }
  }
  return true;
}

bool selected(const Test& test, const Arguments& arguments) {
  return (arguments.group.empty() || test.group == arguments.group) &&
         test.name.find(arguments.only) != std::string::npos;
}

std::string mode_of(const Options& options) {
  std::string text;
  if (options.exhaustive) {
    text = options.preemptions == kUnbounded
               ? "all"
               : "<=" + std::to_string(options.preemptions) + " preempt.";
  }
  if (options.random_runs > 0) text += text.empty() ? "random" : " + random";
  return text;
}

enum class Verdict { kGood, kBad, kViolation };

Verdict run(Test& test, const Arguments& arguments, std::uint64_t* executions) {
  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome =
      Engine::get().explore(*test.program, test.options, arguments.seed);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  *executions += outcome.executions;
  std::printf("%-12s %-44s %-22s %10llu  %6.2f s", test.group.c_str(),
              test.name.c_str(), mode_of(test.options).c_str(),
              static_cast<unsigned long long>(outcome.executions), took.count());
  const bool as_expected = outcome.violation == (test.expect == Expect::kViolation);
  std::string verdict = as_expected && test.verdict != nullptr ? test.verdict() : "";
  if (as_expected && !outcome.complete) verdict = "stopped at max_executions";
  std::printf("  %s\n", !as_expected        ? "UNEXPECTED"
                        : !verdict.empty()  ? verdict.c_str()
                        : outcome.violation ? "found, as it must be"
                                            : "ok");
  if (!as_expected) {
    std::printf("%s", outcome.violation ? outcome.text.c_str()
                                        : "  expected a violation, found none\n");
  }
  std::fflush(stdout);
  if (as_expected) return verdict.empty() ? Verdict::kGood : Verdict::kBad;
  return outcome.violation ? Verdict::kViolation : Verdict::kBad;
}

int run_all(const Arguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t executions = 0;
  bool bad = false;
  bool violation = false;
  int count = 0;
  std::printf("seed %llu\n", static_cast<unsigned long long>(arguments.seed));
  for (Test& test : tests()) {
    if (!selected(test, arguments)) continue;
    ++count;
    const Verdict verdict = run(test, arguments, &executions);
    bad = bad || verdict == Verdict::kBad;
    violation = violation || verdict == Verdict::kViolation;
    if (violation && arguments.expect_violation) break;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("total: %d tests, %llu executions, %.1f s\n", count,
              static_cast<unsigned long long>(executions), took.count());
  if (arguments.expect_violation) {
    std::printf(violation ? "the planted bug was found\n"
                          : "THE PLANTED BUG WAS MISSED\n");
    return violation ? 0 : 1;
  }
  if (count == 0 || executions < arguments.require) {
    std::printf("too few executions: at least %llu are required\n",
                static_cast<unsigned long long>(arguments.require));
    bad = true;
  }
  return violation ? kViolationExit : bad ? 1 : 0;
}

int replay(const Arguments& arguments) {
  for (Test& test : tests()) {
    if (!selected(test, arguments)) continue;
    const Outcome outcome =
        Engine::get().replay(*test.program, test.options, arguments.replay);
    std::printf("%s / %s\n%s", test.group.c_str(), test.name.c_str(),
                outcome.text.c_str());
    return outcome.violation ? kViolationExit : 0;
  }
  return 2;
}

}  // namespace
}  // namespace model

int main(int argc, char** argv) {
  model::Arguments arguments;
  if (!model::parse(argc, argv, &arguments)) return 2;
  if (arguments.list) {
    for (const model::Test& test : model::tests()) {
      std::printf("%s / %s\n", test.group.c_str(), test.name.c_str());
    }
    return 0;
  }
  return arguments.replaying ? model::replay(arguments) : model::run_all(arguments);
}
