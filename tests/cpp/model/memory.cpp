#include "model/memory.hpp"

#include <algorithm>

namespace model {

namespace {

bool acquires(Order o) {
  return o == std::memory_order_acquire || o == std::memory_order_consume ||
         o == std::memory_order_acq_rel || o == std::memory_order_seq_cst;
}
bool releases(Order o) {
  return o == std::memory_order_release || o == std::memory_order_acq_rel ||
         o == std::memory_order_seq_cst;
}
bool is_seq_cst(Order o) { return o == std::memory_order_seq_cst; }

}  // namespace

void View::copy(const View& from) {
  size = from.size;
  std::copy_n(from.keys.begin(), size, keys.begin());
  clocks = from.clocks;
}

void View::join(const View& other) {
  const int common = std::min(size, other.size);
  for (std::size_t i = 0; i < static_cast<std::size_t>(common); ++i) {
    keys[i] = std::max(keys[i], other.keys[i]);
  }
  if (other.size > size) {
    std::copy(other.keys.begin() + size, other.keys.begin() + other.size,
              keys.begin() + size);
    size = other.size;
  }
  for (std::size_t i = 0; i < clocks.size(); ++i) {
    clocks[i] = std::max(clocks[i], other.clocks[i]);
  }
}

void View::raise(int location, Key key) {
  while (size <= location) keys[static_cast<std::size_t>(size++)] = 0;
  Key& mine = keys[static_cast<std::size_t>(location)];
  mine = std::max(mine, key);
}

void Memory::reset() {
  count_ = 0;
  carried_count_ = 0;
  for (int t = 0; t < kMaxThreads; ++t) {
    view(t).clear();
    // 1, so that what a thread does first is not yet known to those at 0.
    view(t).clocks[static_cast<std::size_t>(t)] = 1;
  }
}

int Memory::create(int thread, const void* address, Word initial) {
  const int id = count_++;
  Location& place = at(id);
  place.stores.clear();
  place.stores.push_back({initial, kGap, -1, false});
  place.address = address;
  place.floor = 0;
  place.creator = thread;
  place.created = view(thread).clock(thread);
  place.accessed.fill(0);
  view(thread).raise(id, kGap);
  return id;
}

int Memory::readable(int thread, int location, Order order) const {
  const Location& place = at(location);
  Key floor = views_[static_cast<std::size_t>(thread)].key(location);
  if (is_seq_cst(order)) floor = std::max(floor, place.floor);
  const int all = static_cast<int>(place.stores.size());
  int n = 1;
  while (n < all && place.stores[static_cast<std::size_t>(all - 1 - n)].key >= floor)
    ++n;
  // The newest store may itself lie below nobody's floor, so n >= 1 always
  // holds.
  return n;
}

int Memory::draw(int n) {
  if (n == 1 || random_ == nullptr) return 0;
  return random_->one_in(3) ? random_->below(n) : 0;
}

void Memory::take(int thread, int location, const Store& store, Order order) {
  View& mine = view(thread);
  mine.raise(location, store.key);
  if (acquires(order) && store.carried >= 0) {
    mine.join(carried_[static_cast<std::size_t>(store.carried)]);
  }
  if (is_seq_cst(order)) at(location).floor = std::max(at(location).floor, store.key);
}

Memory::Read Memory::load(int thread, int location, Order order, bool fresh,
                          Choices& choices) {
  const int n = fresh ? 1 : readable(thread, location, order);
  const int behind = n == 1 ? 0 : choices.pick(n, draw(n));
  const auto& stores = at(location).stores;
  const Store& store = stores[stores.size() - 1 - static_cast<std::size_t>(behind)];
  take(thread, location, store, order);
  tick(thread);
  return {store.value, behind};
}

int Memory::carry(int thread, Order order) {
  if (!releases(order)) return -1;
  if (carried_count_ == static_cast<int>(carried_.size())) carried_.emplace_back();
  carried_[static_cast<std::size_t>(carried_count_)].copy(view(thread));
  return carried_count_++;
}

void Memory::tick(int thread) {
  ++view(thread).clocks[static_cast<std::size_t>(thread)];
}

int Memory::store(int thread, int location, Word value, Order order, Choices& choices) {
  Location& place = at(location);
  auto& stores = place.stores;
  // Where may it go?  places[k]: before how many existing stores.
  std::array<int, 16> places{};
  int n = 1;
  if (!is_seq_cst(order)) {
    const Key known = view(thread).key(location);
    for (int before = 1; before < static_cast<int>(stores.size()) && n < 16; ++before) {
      const Store& later = stores[stores.size() - static_cast<std::size_t>(before)];
      if (later.key <= known) break;
      if (!later.rmw) places[static_cast<std::size_t>(n++)] = before;
    }
  }
  const int before =
      places[static_cast<std::size_t>(n == 1 ? 0 : choices.pick(n, draw(n)))];
  const auto where = stores.end() - before;
  const Key previous = (where - 1)->key;
  const Key key =
      before == 0 ? previous + kGap : previous + (where->key - previous) / 2;
  view(thread).raise(location, key);
  if (is_seq_cst(order)) place.floor = std::max(place.floor, key);
  stores.insert(where, Store{value, key, carry(thread, order), false});
  tick(thread);
  return before;
}

void Memory::start(int child, int parent) {
  const Clock own = view(child).clock(child);
  view(child).copy(view(parent));
  view(child).clocks[static_cast<std::size_t>(child)] = own;
  tick(parent);
}

Word Memory::rmw_read(int thread, int location, Order order) {
  const Store store = at(location).stores.back();
  take(thread, location, store, order);
  return store.value;
}

void Memory::rmw_write(int thread, int location, Word value, Order order) {
  Location& place = at(location);
  const Store replaced = place.stores.back();
  const Key key = replaced.key + kGap;
  view(thread).raise(location, key);
  if (is_seq_cst(order)) place.floor = std::max(place.floor, key);
  int carried = carry(thread, order);
  if (carried < 0) {
    carried = replaced.carried;
  } else if (replaced.carried >= 0) {
    carried_[static_cast<std::size_t>(carried)].join(
        carried_[static_cast<std::size_t>(replaced.carried)]);
  }
  place.stores.push_back({value, key, carried, true});
  tick(thread);
}

bool Memory::compare_exchange(int thread, int location, Word& expected, Word desired,
                              Order success, Order failure, Choices& choices,
                              int* behind) {
  const auto& stores = at(location).stores;
  // Answer 0: the newest store, which decides.  The others: a stale store with
  // another value, so that the operation is a mere load.
  std::array<int, 16> stale{};
  int n = 1;
  const int candidates = readable(thread, location, failure);
  for (int k = 1; k < candidates && n < 16; ++k) {
    const Store& store = stores[stores.size() - 1 - static_cast<std::size_t>(k)];
    if (store.value != expected) stale[static_cast<std::size_t>(n++)] = k;
  }
  *behind = stale[static_cast<std::size_t>(n == 1 ? 0 : choices.pick(n, draw(n)))];
  const Store read = stores[stores.size() - 1 - static_cast<std::size_t>(*behind)];
  if (*behind == 0 && read.value == expected) {
    take(thread, location, read, success);
    rmw_write(thread, location, desired, success);
    return true;
  }
  take(thread, location, read, failure);
  tick(thread);
  expected = read.value;
  return false;
}

void Memory::fence_all_threads() {
  for (int location = 0; location < count_; ++location) {
    const Key newest = at(location).stores.back().key;
    for (View& view : views_) view.raise(location, newest);
  }
}

bool Memory::constructed_before(int thread, int location) {
  const Location& place = at(location);
  return thread == place.creator || view(thread).clock(place.creator) >= place.created;
}

void Memory::note_access(int thread, int location) {
  at(location).accessed[static_cast<std::size_t>(thread)] = view(thread).clock(thread);
}

bool Memory::accessed_before(int thread, int location) {
  for (int t = 0; t < kMaxThreads; ++t) {
    if (t == thread) continue;
    const Clock last = at(location).accessed[static_cast<std::size_t>(t)];
    if (last != 0 && view(thread).clock(t) < last) return false;
  }
  return true;
}

}  // namespace model
