// Calls come back from workers that have not begun them, and what else workers are
// told: see dispatcher.hpp.
#include <algorithm>

#include "dispatcher.hpp"

namespace fastflow::py {

namespace {

constexpr double kTogether = 0.0001;  // seconds of work: too short to be taken back
constexpr int kForget = -6;           // FORGET in processes/messages.py

bool rebalance(DispatcherObject* self, Stretch& stretch) {
  std::size_t least = 2;
  // Not if it should be done in no time; unless it isn't done some time later.
  if (self->seconds > 0 && !self->look_closer) {
    least = std::max(least, static_cast<std::size_t>(kTogether / self->seconds));
  }
  self->look_closer = false;
  while (self->has_idle()) {
    WindowObject* victim = self->window(0);
    for (std::size_t i = 1; i < self->windows.size(); ++i) {
      if (self->window(i)->calls.size() > victim->calls.size()) {
        victim = self->window(i);
      }
    }
    const std::size_t most = victim->calls.size();
    if (most < least || recall(self, victim, most / 2) == 0) return true;
    if (!dispatch(self, stretch)) return false;
    if (!self->order.empty()) return true;
  }
  return true;
}

}  // namespace

bool dispatch_or_rebalance(DispatcherObject* self, Stretch& stretch) {
  if (self->inside) return true;
  if (!self->order.empty()) return !self->room || dispatch(self, stretch);
  return !self->has_idle() || rebalance(self, stretch);
}

std::size_t recall(DispatcherObject* self, WindowObject* window, std::size_t count) {
  std::size_t taken = 0;
  auto& calls = window->calls;
  while (taken < count && !calls.empty()) {
    self->order.emplace_front();
    if (!window->line.recall(calls.back().ticket)) {
      self->order.pop_front();
      break;
    }
    self->order.front() = std::move(calls.back());
    calls.pop_back();
    --window->assigned;
    ++taken;
  }
  return taken;
}

bool stop_window(DispatcherObject* self, WindowObject* window) {
  if (window->retiring) return true;
  window->retiring = true;
  std::uint64_t ticket = 0;
  // Without room it learns by the end of the socket.
  if (window->line.put(self->stop.get(), &ticket) == Sent::kError) return false;
  return window->line.publish();
}

namespace {

bool forget_in(DispatcherObject* self, WindowObject* window) {
  if (window->forgotten.empty()) return true;
  const std::size_t n = window->forgotten.size();
  Ref inodes = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(n)));
  if (!inodes) return false;
  for (std::size_t i = 0; i < n; ++i) {
    PyObject* inode = PyLong_FromUnsignedLongLong(window->forgotten[i]);
    if (inode == nullptr) return false;
    PyTuple_SET_ITEM(inodes.get(), static_cast<Py_ssize_t>(i), inode);
  }
  // That of the standard library, in C: no Python code.
  Ref message = Ref::steal(PyObject_CallFunction(
      self->dumps.get(), "((iO))", static_cast<int>(kForget), inodes.get()));
  if (!message) return false;
  std::uint64_t ticket = 0;
  const Sent sent = window->line.put(message.get(), &ticket);
  if (sent == Sent::kError) return false;
  if (sent == Sent::kNoRoom) return true;  // later
  window->forgotten.erase(window->forgotten.begin(),
                          window->forgotten.begin() + static_cast<std::ptrdiff_t>(n));
  return window->line.publish();
}

}  // namespace

bool forget_segments(DispatcherObject* self) {
  if (PyObject_Size(self->graveyard.get()) == 0) return true;
  for (const Ref& window : self->windows) {
    window_of(window.get())
        ->forgotten.reserve(
            window_of(window.get())->forgotten.size() +
            static_cast<std::size_t>(PyObject_Size(self->graveyard.get())));
  }
  while (PyObject_Size(self->graveyard.get()) > 0) {
    Ref inode =
        Ref::steal(PyObject_CallMethod(self->graveyard.get(), "popleft", nullptr));
    if (!inode) return false;
    const std::uint64_t number = PyLong_AsUnsignedLongLong(inode.get());
    for (const Ref& window : self->windows) {
      if (window_of(window.get())->segments.erase(number) > 0) {
        window_of(window.get())->forgotten.push_back(number);
      }
    }
  }
  for (std::size_t i = 0; i < self->windows.size(); ++i) {
    const Ref kept = Ref::borrow(self->windows[i].get());
    if (!forget_in(self, window_of(kept.get()))) return false;
  }
  return true;
}

}  // namespace fastflow::py
