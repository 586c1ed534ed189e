#include "timer.hpp"

#include <algorithm>

namespace fastflow {

Timer::~Timer() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Timer::Id Timer::at(Clock::time_point due, Callback callback, void* argument) {
  bool earliest;
  Id id;
  {
    std::lock_guard lock(mutex_);
    id = next_id_++;
    actions_.emplace(id, Action{callback, argument});
    heap_.push_back({due, id});
    std::push_heap(heap_.begin(), heap_.end());
    earliest = heap_.front().id == id;
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  if (earliest) changed_.notify_one();
  return id;
}

bool Timer::cancel(Id id) {
  std::lock_guard lock(mutex_);
  if (actions_.erase(id) == 0) return false;
  if (heap_.size() > 64 && heap_.size() > 2 * actions_.size()) drop_cancelled();
  return true;
}

std::size_t Timer::pending() const {
  std::lock_guard lock(mutex_);
  return actions_.size();
}

void Timer::drop_cancelled() {
  std::erase_if(heap_, [this](const Entry& e) { return !actions_.contains(e.id); });
  std::make_heap(heap_.begin(), heap_.end());
}

void Timer::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (heap_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const Entry next = heap_.front();
    const auto action = actions_.find(next.id);
    if (action != actions_.end() && Clock::now() < next.due) {
      changed_.wait_until(lock, next.due);
      continue;  // an earlier one may have come, or this one may be cancelled
    }
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    if (action == actions_.end()) continue;
    const Action due = action->second;
    actions_.erase(action);
    lock.unlock();
    due.callback(due.argument);
    lock.lock();
  }
}

}  // namespace fastflow
