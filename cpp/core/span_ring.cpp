#include "span_ring.hpp"

#include <algorithm>
#include <new>

namespace fastflow {

namespace {

std::uint64_t length(const SpanRecord& span) noexcept { return span.end - span.start; }

// For a heap with the shortest in front.
bool is_longer(const SpanRecord& a, const SpanRecord& b) noexcept {
  return length(a) > length(b);
}

}  // namespace

void SpanRing::count_new(SpanRecord span) noexcept {
  try {
    totals_.resize(span.label + std::size_t{1});
  } catch (const std::bad_alloc&) {
    return;
  }
  count(totals_[span.label], span);
}

// Memory for all that is ever kept; false if there is none.
bool SpanRing::open() noexcept {
  if (refused_) return false;
  refused_ = true;
  try {
    failed_.reserve(std::max<std::size_t>(size_ / 8, 16));
    longest_.reserve(kLongest);
    kept_ = BigArray<SpanRecord>(size_);
  } catch (const std::bad_alloc&) {
    return false;
  }
  refused_ = false;
  room_ = size_;
  return true;
}

void SpanRing::keep_notable(SpanRecord span) noexcept {
  const bool failed =
      span.state == SpanState::kFailed || span.state == SpanState::kRetried;
  if (failed && failed_.size() < failed_.capacity()) {
    failed_.push_back(span);
    return;
  }
  if (span.kind != SpanKind::kCall || length(span) <= shortest_) return;
  if (longest_.size() == longest_.capacity()) {
    if (longest_.empty()) return;
    std::pop_heap(longest_.begin(), longest_.end(), is_longer);
    longest_.pop_back();
  }
  longest_.push_back(span);
  std::push_heap(longest_.begin(), longest_.end(), is_longer);
  if (longest_.size() == longest_.capacity()) shortest_ = length(longest_.front());
}

// Every second one of those that are kept in order.
void SpanRing::halve() noexcept {
  std::size_t to = 0;
  for (std::size_t from = 0; from < n_; ++from) {
    if (from % 2 == 0) {
      kept_[to++] = kept_[from];
    } else {
      keep_if_notable(kept_[from]);
    }
  }
  n_ = to;
  skipped_ = 2 * skipped_ + 1;
}

void SpanRing::add_to_full(SpanRecord span) noexcept {
  if (room_ == 0) {
    if (open()) kept_[n_++] = span;
    return;
  }
  halve();
  if (((made_ - 1) & skipped_) != 0) {
    keep_if_notable(span);
  } else {
    kept_[n_++] = span;
  }
}

}  // namespace fastflow
