// What add() is given for a call, on its way into the graph: where the nodes are in it.
#pragma once

#include <memory>
#include <vector>

#include "compiler.hpp"
#include "graph.hpp"

namespace fastflow::py {

// May run Python code.
void drop(Argument argument);

// Arguments on their way into the graph: dropped unless they arrive there.  A few need
// no memory of their own.
class Arguments {
 public:
  Arguments() = default;
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
  ~Arguments() {
    for (std::size_t i = 0; i < size_; ++i) drop(data()[i]);  // may run Python code
  }

  void add_node(std::uint32_t index) { add(Argument::node(index)); }
  void add_constant(PyObject* object) {
    add(Argument::node(0));  // first: it may be that there is no memory
    data()[size_ - 1] = Argument::constant(object);
  }
  void add_gathered(PyTypeObject* type, Ref keys, Arguments& items) {
    add(Argument::node(0));
    auto gathered = std::make_unique<Gathered>(type, nullptr);
    gathered->items.assign(items.data(), items.data() + items.size_);
    items.size_ = 0;
    gathered->keys = keys.release();
    data()[size_ - 1] = Argument::gathered(gathered.release());
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // REQUIRES: `to` has room for them.
  void move_to(BigVector<Argument>* to) noexcept {
    const Argument* from = data();
    for (std::size_t i = 0; i < size_; ++i) to->push_back(from[i]);
    size_ = 0;
  }

 private:
  static constexpr std::size_t kNear = 6;

  void add(Argument argument) {
    if (size_ < kNear) [[likely]] {
      near_[size_++] = argument;
    } else {
      add_far(argument);
    }
  }
  FASTFLOW_COLD void add_far(Argument argument) {
    if (far_.empty()) far_.assign(near_, near_ + kNear);
    far_.push_back(argument);
    ++size_;
  }
  [[nodiscard]] Argument* data() noexcept { return far_.empty() ? near_ : far_.data(); }

  std::size_t size_ = 0;
  Argument near_[kNear];
  std::vector<Argument> far_;  // all of them, once there are more
};

// Whether it is a node of the graph with that number; false with GraphError.
bool check_member(std::uint64_t graph, PyObject* node);

// Finds the nodes in one argument; false with an exception.  May run Python code.
bool read_argument(std::uint64_t graph, PyObject* object, Arguments* to);

// Nodes that a function has with it (a partial one's) would go unseen: false with
// TypeError.
bool check_function(PyObject* function);

}  // namespace fastflow::py
