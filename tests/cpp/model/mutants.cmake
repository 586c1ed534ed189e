# Planted bugs, each of which the checker must find.  A mutant is a copy of the core's
# headers with one text replaced; the model tests of GROUP run on it and succeed only if
# they find a violation (a clean pass and a crash both fail).
#
#   ff_add_mutant(name GROUP group HEADER header FROM [[text]] TO [[text]])
function(ff_add_mutant name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "GROUP;HEADER;FROM;TO" "")
  set(dir ${CMAKE_CURRENT_BINARY_DIR}/mutants/${name})
  file(WRITE ${dir}/from.txt.new "${arg_FROM}")
  file(WRITE ${dir}/to.txt.new "${arg_TO}")
  configure_file(${dir}/from.txt.new ${dir}/from.txt COPYONLY)
  configure_file(${dir}/to.txt.new ${dir}/to.txt COPYONLY)
  file(GLOB headers ${core}/*.hpp)
  add_custom_command(
    OUTPUT ${dir}/core/${arg_HEADER}
    COMMAND ${CMAKE_COMMAND} -DCORE=${core} -DOUT_DIR=${dir}/core -DHEADER=${arg_HEADER}
            -DFROM_FILE=${dir}/from.txt -DTO_FILE=${dir}/to.txt
            -P ${CMAKE_CURRENT_SOURCE_DIR}/mutate.cmake
    DEPENDS ${headers} ${dir}/from.txt ${dir}/to.txt mutate.cmake
    COMMENT "Planting a bug: ${name}"
    VERBATIM)
  set(target mutant_${name})
  add_executable(${target} ${arg_GROUP}_model.cpp ${dir}/core/${arg_HEADER})
  target_include_directories(${target} PRIVATE ${dir}/core)
  target_link_libraries(${target} PRIVATE ff_model)
  # A bug is found within a second, so compile time counts more.
  target_compile_options(${target} PRIVATE -O1 -g0)
  add_test(NAME ${target} COMMAND ${target} --expect-violation --seed=1)
  set_tests_properties(${target} PROPERTIES LABELS mutant TIMEOUT 600)
endfunction()

# --- deque ----------------------------------------------------------------------------

ff_add_mutant(deque_push_relaxed GROUP deque HEADER deque.hpp
  FROM [[bottom_->store(b + 1);]]
  TO [[bottom_->store(b + 1, std::memory_order_relaxed);]])

# The steal side is still safe, only the wake protocol breaks.
ff_add_mutant(deque_push_release GROUP deque HEADER deque.hpp
  FROM [[bottom_->store(b + 1);]]
  TO [[bottom_->store(b + 1, std::memory_order_release);]])

ff_add_mutant(deque_push_batch_relaxed GROUP deque HEADER deque.hpp
  FROM [[bottom_->store(b + n);]]
  TO [[bottom_->store(b + n, std::memory_order_relaxed);]])

ff_add_mutant(deque_push_batch_shows_what_is_not_there GROUP deque HEADER deque.hpp
  FROM [[    const std::int64_t n = end - from;]]
  TO [[    const std::int64_t n = end - from;
    bottom_->store(b + n);]])

ff_add_mutant(deque_pop_announces_release GROUP deque HEADER deque.hpp
  FROM [[bottom_->store(b);  ]]
  TO [[bottom_->store(b, std::memory_order_release);  ]])

ff_add_mutant(deque_pop_top_acquire GROUP deque HEADER deque.hpp
  FROM [[std::int64_t t = top_->load();    // seq_cst: see the header]]
  TO [[std::int64_t t = top_->load(std::memory_order_acquire);]])

ff_add_mutant(deque_pop_last_without_cas GROUP deque HEADER deque.hpp
  FROM [[if (t == b && top_->compare_exchange_strong(t, t + 1)) job]]
  TO [[if (t == b) top_->store(t + 1), job]])

# Not a mutant, since nothing can go wrong: pop's last store to bottom made relaxed.
# When it is executed, top is already b + 1, so a thief that reads its value either finds
# the deque empty or fails its compare-exchange.

# Two pops in a row must not both take the last job.
ff_add_mutant(deque_pop_forgets_to_restore GROUP deque HEADER deque.hpp
  FROM [[bottom_->store(b + 1, std::memory_order_release);]]
  TO [[]])

ff_add_mutant(deque_steal_bottom_acquire GROUP deque HEADER deque.hpp
  FROM [[b = bottom_->load();  // seq_cst; acquires]]
  TO [[b = bottom_->load(std::memory_order_acquire);  //]])

ff_add_mutant(deque_steal_bottom_relaxed GROUP deque HEADER deque.hpp
  FROM [[b = bottom_->load();  // seq_cst; acquires]]
  TO [[b = bottom_->load(std::memory_order_relaxed);  //]])

ff_add_mutant(deque_steal_reads_slot_late GROUP deque HEADER deque.hpp
  FROM [[*job = candidate;]]
  TO [[*job = array->get(t);]])

ff_add_mutant(deque_array_published_relaxed GROUP deque HEADER deque.hpp
  FROM [[array_.store(bigger, std::memory_order_release);]]
  TO [[array_.store(bigger, std::memory_order_relaxed);]])

ff_add_mutant(deque_array_loaded_relaxed GROUP deque HEADER deque.hpp
  FROM [[array_.load(std::memory_order_acquire);]]
  TO [[array_.load(std::memory_order_relaxed);]])

ff_add_mutant(deque_empty_relaxed GROUP deque HEADER deque.hpp
  FROM [[return t >= bottom_->load();]]
  TO [[return t >= bottom_->load(std::memory_order_acquire);]])

# --- ready queue ----------------------------------------------------------------------

ff_add_mutant(ready_queue_push_relaxed GROUP ready_queue HEADER ready_queue.hpp
  FROM [[compare_exchange_weak(head, job, std::memory_order_seq_cst,]]
  TO [[compare_exchange_weak(head, job, std::memory_order_relaxed,]])

ff_add_mutant(ready_queue_push_release GROUP ready_queue HEADER ready_queue.hpp
  FROM [[compare_exchange_weak(head, job, std::memory_order_seq_cst,]]
  TO [[compare_exchange_weak(head, job, std::memory_order_release,]])

ff_add_mutant(ready_queue_take_relaxed GROUP ready_queue HEADER ready_queue.hpp
  FROM [[head_.exchange(nullptr, std::memory_order_acquire)]]
  TO [[head_.exchange(nullptr, std::memory_order_relaxed)]])

ff_add_mutant(ready_queue_take_not_atomic GROUP ready_queue HEADER ready_queue.hpp
  FROM [[return head_.exchange(nullptr, std::memory_order_acquire);]]
  TO [[Job* all = head_.load(); head_.store(nullptr); return all;]])

ff_add_mutant(ready_queue_empty_acquire GROUP ready_queue HEADER ready_queue.hpp
  FROM [[return head_.load() == nullptr;]]
  TO [[return head_.load(std::memory_order_acquire) == nullptr;]])

# --- eventcount -----------------------------------------------------------------------

ff_add_mutant(event_count_waiters_relaxed GROUP event_count HEADER event_count.hpp
  FROM [[waiters_.fetch_add(1);]]
  TO [[waiters_.fetch_add(1, std::memory_order_relaxed);]])

# Not a mutant, since nothing can go wrong: the epoch read before the increment.  The key
# is then at most too old, and a sleeper with an old key does not sleep.
ff_add_mutant(event_count_epoch_read_at_commit GROUP event_count HEADER event_count.hpp
  FROM [[while (epoch_.load() == key) futex_wait(epoch_, key);]]
  TO [[futex_wait(epoch_, key = epoch_.load());]])

ff_add_mutant(event_count_epoch_stands_still GROUP event_count HEADER event_count.hpp
  FROM [[epoch_.fetch_add(1);]]
  TO [[]])

ff_add_mutant(event_count_wakes_first GROUP event_count HEADER event_count.hpp
  FROM [[epoch_.fetch_add(1);
    futex_wake(epoch_, count);]]
  TO [[futex_wake(epoch_, count);
    epoch_.fetch_add(1);]])

ff_add_mutant(event_count_waiters_read_acquire GROUP event_count HEADER event_count.hpp
  FROM [[if (waiters_.load() == 0) return false;]]
  TO [[if (waiters_.load(std::memory_order_acquire) == 0) return false;]])

ff_add_mutant(event_count_cancel_keeps_waiter GROUP event_count HEADER event_count.hpp
  FROM [[void cancel_wait() noexcept { waiters_.fetch_sub(1); }]]
  TO [[void cancel_wait() noexcept {}]])

# --- join counter ---------------------------------------------------------------------

ff_add_mutant(join_counter_relaxed GROUP join_counter HEADER join_counter.hpp
  FROM [[missing_.fetch_sub(n, std::memory_order_acq_rel)]]
  TO [[missing_.fetch_sub(n, std::memory_order_relaxed)]])

ff_add_mutant(join_counter_release_only GROUP join_counter HEADER join_counter.hpp
  FROM [[missing_.fetch_sub(n, std::memory_order_acq_rel)]]
  TO [[missing_.fetch_sub(n, std::memory_order_release)]])

# --- task state -----------------------------------------------------------------------

ff_add_mutant(task_state_flag_relaxed GROUP task_state HEADER task_state.hpp
  FROM [[word_.fetch_or(flag, std::memory_order_acq_rel)]]
  TO [[word_.fetch_or(flag, std::memory_order_relaxed)]])

ff_add_mutant(task_state_flag_not_atomic GROUP task_state HEADER task_state.hpp
  FROM [[return word_.fetch_or(flag, std::memory_order_acq_rel);]]
  TO [[const Word w = word_.load(); word_.store(w | flag); return w;]])

ff_add_mutant(task_state_finish_relaxed GROUP task_state HEADER task_state.hpp
  FROM [[compare_exchange_weak(w, with(w, to), std::memory_order_acq_rel,]]
  TO [[compare_exchange_weak(w, with(w, to), std::memory_order_relaxed,]])

ff_add_mutant(task_state_finish_unshared_relaxed GROUP task_state HEADER task_state.hpp
  FROM [[compare_exchange_weak(w, with(w, Phase::kFinished),
                                          std::memory_order_acq_rel,]]
  TO [[compare_exchange_weak(w, with(w, Phase::kFinished),
                                          std::memory_order_relaxed,]])

ff_add_mutant(task_state_finish_ignores_shared GROUP task_state HEADER task_state.hpp
  FROM [[if ((w & kShared) != 0) return false;]]
  TO [[]])

ff_add_mutant(task_state_load_relaxed GROUP task_state HEADER task_state.hpp
  FROM [[return word_.load(std::memory_order_acquire);]]
  TO [[return word_.load(std::memory_order_relaxed);]])

ff_add_mutant(task_state_transition_drops_flags GROUP task_state HEADER task_state.hpp
  FROM [[return (word & ~kPhaseMask) | static_cast<Word>(phase);]]
  TO [[return (word & 0) | static_cast<Word>(phase);]])

# --- sleep ----------------------------------------------------------------------------

ff_add_mutant(sleep_no_look_before_sleeping GROUP sleep HEADER sleep.hpp
  FROM [[const bool work = has_work();]]
  TO [[const bool work = false;]])

ff_add_mutant(sleep_looks_before_giving_back GROUP sleep HEADER sleep.hpp
  FROM [[const EventCount::Key key = wait_.prepare_wait();
      if (holds)]]
  TO [[const bool early = has_work();
      const auto has_work = [early] { return early; };
      const EventCount::Key key = wait_.prepare_wait();
      if (holds)]])

ff_add_mutant(sleep_cancel_leaves_grant GROUP sleep HEADER sleep.hpp
  FROM [[if (take_grant()) release_extra();]]
  TO [[]])

ff_add_mutant(sleep_stop_leaves_grant GROUP sleep HEADER sleep.hpp
  FROM [[if (take_grant()) return Woken::kAwake;
        return Woken::kStop;]]
  TO [[return Woken::kStop;]])

ff_add_mutant(sleep_timeout_leaves_grant GROUP sleep HEADER sleep.hpp
  FROM [[return take_grant() ? Woken::kAwake : Woken::kTimeout;]]
  TO [[return Woken::kTimeout;]])

ff_add_mutant(sleep_end_search_never_last GROUP sleep HEADER sleep.hpp
  FROM [[return searching(gauge_->fetch_sub(kSearching)) == 1;]]
  TO [[return gauge_->fetch_sub(kSearching), false;]])

ff_add_mutant(sleep_begin_attach_never_last GROUP sleep HEADER sleep.hpp
  FROM [[const std::uint64_t before = gauge_->fetch_add(kAttaching - kSearching);
    return searching(before) == 1;]]
  TO [[return gauge_->fetch_add(kAttaching - kSearching), false;]])

ff_add_mutant(sleep_stop_wakes_nobody GROUP sleep HEADER sleep.hpp
  FROM [[wait_.notify_all();]]
  TO [[]])

ff_add_mutant(sleep_stop_wakes_one GROUP sleep HEADER sleep.hpp
  FROM [[wait_.notify_all();]]
  TO [[wait_.notify_one();]])

ff_add_mutant(sleep_stop_wakes_first GROUP sleep HEADER sleep.hpp
  FROM [[stop_.store(true);
    wait_.notify_all();]]
  TO [[wait_.notify_all();
    stop_.store(true);]])

ff_add_mutant(sleep_stop_before_work GROUP sleep HEADER sleep.hpp
  FROM [[if (work && reserve()) {]]
  TO [[if (work && !stopping() && reserve()) {]])

ff_add_mutant(sleep_wake_ignores_limit GROUP sleep HEADER sleep.hpp
  FROM [[return coming == 0 && active(g) < limit_;]]
  TO [[return coming == 0;]])

ff_add_mutant(sleep_grant_after_notify GROUP sleep HEADER sleep.hpp
  FROM [[grants_.fetch_add(1);
    if (wait_.notify_one()) return Need::kWoken;]]
  TO [[const bool told = wait_.notify_one();
    grants_.fetch_add(1);
    if (told) return Need::kWoken;]])

ff_add_mutant(sleep_gauge_read_relaxed GROUP sleep HEADER sleep.hpp
  FROM [[if (!wake_wanted(gauge_->load(), lane)) return Need::kNothing;]]
  TO [[if (!wake_wanted(gauge_->load(std::memory_order_relaxed), lane))
      return Need::kNothing;]])

ff_add_mutant(sleep_blocked_keeps_place GROUP sleep HEADER sleep.hpp
  FROM [[void blocked() noexcept { gauge_->fetch_sub(kActive); }]]
  TO [[void blocked() noexcept { gauge_->fetch_add(0); }]])

# Sleep in a queue that breaks the wake protocol.
ff_add_mutant(sleep_queue_push_release GROUP sleep HEADER ready_queue.hpp
  FROM [[compare_exchange_weak(head, job, std::memory_order_seq_cst,]]
  TO [[compare_exchange_weak(head, job, std::memory_order_release,]])

# A bug of the pool around it: a worker that is not searching takes a batch, hides it
# from a worker about to sleep, and offers the rest without waking anybody.
add_executable(mutant_pool_offer_without_wake sleep_model.cpp)
target_include_directories(mutant_pool_offer_without_wake PRIVATE ${core})
target_compile_definitions(mutant_pool_offer_without_wake
  PRIVATE FF_MUTANT_OFFER_WITHOUT_WAKE)
target_link_libraries(mutant_pool_offer_without_wake PRIVATE ff_model)
target_compile_options(mutant_pool_offer_without_wake PRIVATE -O1)
add_test(NAME mutant_pool_offer_without_wake
  COMMAND mutant_pool_offer_without_wake --expect-violation --seed=1
          "--only=three meet")
set_tests_properties(mutant_pool_offer_without_wake
  PROPERTIES LABELS mutant TIMEOUT 600)

# --- arrivals -------------------------------------------------------------------------

ff_add_mutant(arrivals_shortcut_relaxed GROUP arrivals HEADER arrivals.hpp
  FROM [[left = narrow_[v].load(std::memory_order_acquire);]]
  TO [[left = narrow_[v].load(std::memory_order_relaxed);]])

ff_add_mutant(arrivals_together_shortcut_relaxed GROUP arrivals HEADER arrivals.hpp
  FROM [[count(narrow_[v], narrow_[v].load(std::memory_order_acquire), 1);]]
  TO [[count(narrow_[v], narrow_[v].load(std::memory_order_relaxed), 1);]])

ff_add_mutant(arrivals_release_missing GROUP arrivals HEADER arrivals.hpp
  FROM [[cell.fetch_sub(less, std::memory_order_acq_rel)]]
  TO [[cell.fetch_sub(less, std::memory_order_acquire)]])

ff_add_mutant(arrivals_not_one_step GROUP arrivals HEADER arrivals.hpp
  FROM [[const auto less = static_cast<std::uint8_t>(times);
    return cell.fetch_sub(less, std::memory_order_acq_rel) == times;]]
  TO [[cell.store(static_cast<std::uint8_t>(left - times), std::memory_order_release);
    return left == times;]])

ff_add_mutant(arrivals_wide_relaxed GROUP arrivals HEADER arrivals.hpp
  FROM [[count.fetch_sub(times, std::memory_order_acq_rel)]]
  TO [[count.fetch_sub(times, std::memory_order_relaxed)]])

# --- solo_lock ------------------------------------------------------------------------

ff_add_mutant(solo_lock_share_relaxed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[others_.store(kShared | heavy_, std::memory_order_release);]]
  TO [[others_.store(kShared | heavy_, std::memory_order_relaxed);]])

ff_add_mutant(solo_lock_unlock_relaxed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[  void unlock() noexcept {
    inside_.store(false, std::memory_order_release);]]
  TO [[  void unlock() noexcept {
    inside_.store(false, std::memory_order_relaxed);]])

ff_add_mutant(solo_lock_step_back_relaxed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[    for (int spins = 0;;) {
      inside_.store(false, std::memory_order_release);]]
  TO [[    for (int spins = 0;;) {
      inside_.store(false, std::memory_order_relaxed);]])

ff_add_mutant(solo_lock_no_process_fence GROUP solo_lock HEADER solo_lock.hpp
  FROM [[if (heavy_ != 0 || fence_all_threads()) return true;]]
  TO [[return true;]])

ff_add_mutant(solo_lock_no_exchange GROUP solo_lock HEADER solo_lock.hpp
  FROM [[inside_.exchange(true); ]]
  TO [[inside_.store(true, std::memory_order_release); ]])

ff_add_mutant(solo_lock_try_lock_relaxed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[if (!inside_.load()) return true;]]
  TO [[if (!inside_.load(std::memory_order_relaxed)) return true;]])

ff_add_mutant(solo_lock_visit_relaxed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[for (int spins = 0; inside_.load(); ++spins) pause(spins);]]
  TO [[for (int spins = 0; inside_.load(std::memory_order_relaxed); ++spins) pause(spins);]])

ff_add_mutant(solo_lock_does_not_wait GROUP solo_lock HEADER solo_lock.hpp
  FROM [[for (int spins = 0; inside_.load(); ++spins) pause(spins);]]
  TO [[(void)inside_.load();]])

ff_add_mutant(solo_lock_does_not_look GROUP solo_lock HEADER solo_lock.hpp
  FROM [[others_.load(std::memory_order_acquire) == kNobody]]
  TO [[others_.load(std::memory_order_acquire) != kHeavy]])

ff_add_mutant(solo_lock_looks_before_it_wants GROUP solo_lock HEADER solo_lock.hpp
  FROM [[    if (!want()) return false;
    // seq_cst for the heavy kind; acquires what the soloist did until it left.
    if (!inside_.load()) return true;]]
  TO [[    const bool was_inside = inside_.load();
    if (!want()) return false;
    if (!was_inside) return true;]])

ff_add_mutant(solo_lock_shared_relaxed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[return (others_.load(std::memory_order_acquire) & kShared) != 0;]]
  TO [[return (others_.load(std::memory_order_relaxed) & kShared) != 0;]])

ff_add_mutant(solo_lock_give_back_relaxed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[others_.store(kNobody | heavy_, std::memory_order_release);]]
  TO [[others_.store(kNobody | heavy_, std::memory_order_relaxed);]])

ff_add_mutant(solo_lock_lock_relaxed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[others_.load(std::memory_order_acquire) == kNobody]]
  TO [[others_.load(std::memory_order_relaxed) == kNobody]])

# The soloist does not wait for who has come in.
ff_add_mutant(solo_lock_pays_no_heed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[if ((seen & kWanted) != 0) {]]
  TO [[if (false) {]])

ff_add_mutant(solo_lock_seen_relaxed GROUP solo_lock HEADER solo_lock.hpp
  FROM [[const std::uint32_t seen = others_.load(std::memory_order_acquire);]]
  TO [[const std::uint32_t seen = others_.load(std::memory_order_relaxed);]])

ff_add_mutant(solo_lock_forgets_shared GROUP solo_lock HEADER solo_lock.hpp
  FROM [[if ((seen & kShared) != 0) return false;]]
  TO [[if ((seen & kShared) != 0) return true;]])

ff_add_mutant(solo_lock_back_off_undoes_sharing GROUP solo_lock HEADER solo_lock.hpp
  FROM [[    others_.compare_exchange_strong(others, kNobody | heavy_,
                                    std::memory_order_relaxed);]]
  TO [[    others_.store(kNobody | heavy_, std::memory_order_relaxed);]])

# --- mailbox --------------------------------------------------------------------------

ff_add_mutant(mailbox_give_relaxed GROUP mailbox HEADER mailbox.hpp
  FROM [[compare_exchange_strong(word, v, std::memory_order_release,]]
  TO [[compare_exchange_strong(word, v, std::memory_order_relaxed,]])

ff_add_mutant(mailbox_close_relaxed GROUP mailbox HEADER mailbox.hpp
  FROM [[word_.exchange(kNone, std::memory_order_acquire);]]
  TO [[word_.exchange(kNone, std::memory_order_relaxed);]])

ff_add_mutant(mailbox_close_in_two_steps GROUP mailbox HEADER mailbox.hpp
  FROM [[word_.exchange(kNone, std::memory_order_acquire);]]
  TO [[word_.load(std::memory_order_acquire);
    word_.store(kNone, std::memory_order_relaxed);]])

ff_add_mutant(mailbox_give_overwrites GROUP mailbox HEADER mailbox.hpp
  FROM [[    return word_.compare_exchange_strong(word, v, std::memory_order_release,
                                         std::memory_order_relaxed);]]
  TO [[    word_.store(v, std::memory_order_release);
    return word == kOpen;]])

ff_add_mutant(mailbox_take_back_relaxed GROUP mailbox HEADER mailbox.hpp
  FROM [[word, kOpen, std::memory_order_acquire, std::memory_order_relaxed);]]
  TO [[word, kOpen, std::memory_order_relaxed, std::memory_order_relaxed);]])

ff_add_mutant(mailbox_take_back_leaves_it GROUP mailbox HEADER mailbox.hpp
  FROM [[word, kOpen, std::memory_order_acquire, std::memory_order_relaxed);]]
  TO [[word, word, std::memory_order_acquire, std::memory_order_relaxed);]])

# --- participants ---------------------------------------------------------------------

# Two newcomers see each other, and both go away.
ff_add_mutant(participants_adds_then_compares GROUP participants HEADER participants.hpp
  FROM [[    do {
      if (!has_room(now)) return false;
    } while (!word_.compare_exchange_weak(now, now + 1));
    return true;]]
  TO [[    now = word_.fetch_add(1);
    if (inside(word_.load()) <= most_ && has_room(now & ~kInside)) return true;
    word_.fetch_sub(1);
    return false;]])

ff_add_mutant(participants_enters_a_full_run GROUP participants HEADER participants.hpp
  FROM [[return open && inside(word) < most_;]]
  TO [[return open;]])

ff_add_mutant(participants_enters_a_closed_run GROUP participants HEADER participants.hpp
  FROM [[return open && inside(word) < most_;]]
  TO [[return (open || !kFounded) && inside(word) < most_;]])

ff_add_mutant(participants_room_not_one_step GROUP participants HEADER participants.hpp
  FROM [[while (!word_.compare_exchange_weak(now, now + 1));
    return true;]]
  TO [[while (false);
    word_.fetch_add(1);
    return true;]])

ff_add_mutant(participants_token_never_put_down GROUP participants HEADER participants.hpp
  FROM [[next = (now & ~kCalled) +]]
  TO [[next = now +]])

ff_add_mutant(participants_token_put_down_late GROUP participants HEADER participants.hpp
  FROM [[return !arrive() || take_part(guest);]]
  TO [[const bool good = !enter() || take_part(guest);
    word_.fetch_and(~kCalled);
    return good;]])

# Not a mutant, since nothing can go wrong: arrive's step made weaker than seq_cst.  Who
# came in looks a second time when it leaves, and who did not come in found others there
# who will.

ff_add_mutant(participants_two_tokens GROUP participants HEADER participants.hpp
  FROM [[while (!word_.compare_exchange_weak(now, now | kCalled));  // R2]]
  TO [[while (false);
    word_.fetch_or(kCalled);]])

ff_add_mutant(participants_invite_looks_relaxed GROUP participants HEADER participants.hpp
  FROM [[word_.load();  // seq_cst: L1, L2
    do {]]
  TO [[word_.load(std::memory_order_relaxed);
    do {]])

ff_add_mutant(participants_invite_looks_acquire GROUP participants HEADER participants.hpp
  FROM [[word_.load();  // seq_cst: L1, L2
    do {]]
  TO [[word_.load(std::memory_order_acquire);
    do {]])

ff_add_mutant(participants_company_seen_acquire GROUP participants HEADER participants.hpp
  FROM [[word_.load();  // seq_cst: L1, L2
    return]]
  TO [[word_.load(std::memory_order_acquire);
    return]])

ff_add_mutant(participants_leave_relaxed GROUP participants HEADER participants.hpp
  FROM [[word_.fetch_sub(1);  // release: what follows]]
  TO [[word_.fetch_sub(1, std::memory_order_relaxed);]])

ff_add_mutant(participants_leave_acq_rel GROUP participants HEADER participants.hpp
  FROM [[word_.fetch_sub(1);  // release: what follows]]
  TO [[word_.fetch_sub(1, std::memory_order_acq_rel);]])

ff_add_mutant(participants_leave_not_one_step GROUP participants HEADER participants.hpp
  FROM [[word_.fetch_sub(1);  // release: what follows]]
  TO [[word_.load();
    word_.store(before - 1);]])

ff_add_mutant(participants_leaves_without_a_look GROUP participants HEADER participants.hpp
  FROM [[return left.over || !guest.more() || invite(guest);  // R4]]
  TO [[return true;]])

ff_add_mutant(participants_looks_before_it_leaves GROUP participants
  HEADER participants.hpp
  FROM [[const Left left = depart();]]
  TO [[const bool more = guest.more();
    const Left left = depart();
    if (!more && !left.over) return true;]])

ff_add_mutant(participants_last_tells_nobody GROUP participants HEADER participants.hpp
  FROM [[if (left.awaited) guest.announce();]]
  TO [[]])

ff_add_mutant(participants_end_seen_after_leaving GROUP participants HEADER participants.hpp
  FROM [[const bool ends = over(before - 1);]]
  TO [[const bool ends = over();]])

ff_add_mutant(participants_close_tells_nobody GROUP participants HEADER participants.hpp
  FROM [[if (ends && (before & kAwaited) != 0) guest.announce();]]
  TO [[(void)ends;]])

ff_add_mutant(participants_close_tells_twice GROUP participants HEADER participants.hpp
  FROM [[const bool ends = !over(before) && over(before | kClosed);]]
  TO [[const bool ends = over(before | kClosed);]])

ff_add_mutant(participants_close_looks_first GROUP participants HEADER participants.hpp
  FROM [[const std::uint32_t before = word_.fetch_or(kClosed);]]
  TO [[const std::uint32_t before = word_.load();
    word_.fetch_or(kClosed);]])

ff_add_mutant(participants_close_relaxed GROUP participants HEADER participants.hpp
  FROM [[const std::uint32_t before = word_.fetch_or(kClosed);]]
  TO [[const std::uint32_t before = word_.fetch_or(kClosed, std::memory_order_relaxed);]])

ff_add_mutant(participants_end_looked_for_first GROUP participants HEADER participants.hpp
  FROM [[return over(word_.fetch_or(kAwaited));]]
  TO [[const bool before = over();
    word_.fetch_or(kAwaited);
    return before;]])

ff_add_mutant(participants_end_seen_relaxed GROUP participants HEADER participants.hpp
  FROM [[return over(word_.fetch_or(kAwaited));]]
  TO [[return over(word_.fetch_or(kAwaited, std::memory_order_relaxed));]])

ff_add_mutant(participants_call_looked_for_first GROUP participants HEADER participants.hpp
  FROM [[const std::uint32_t now = word_.fetch_or(kAwaited);]]
  TO [[const std::uint32_t now = word_.load();
    word_.fetch_or(kAwaited);]])

ff_add_mutant(participants_calls_nobody_alone GROUP participants HEADER participants.hpp
  FROM [[if ((now & kAwaited) != 0) guest.announce();  // L6]]
  TO [[]])

ff_add_mutant(participants_taken_out_leaves_twice GROUP participants HEADER participants.hpp
  FROM [[return !guest.take_part() || leave(guest);  // R8]]
  TO [[(void)guest.take_part();
    return leave(guest);]])

# --- attendance -----------------------------------------------------------------------

# Two that come late: the second one takes the first one's count for a living run.
ff_add_mutant(attendance_late_ones_revive GROUP attendance HEADER participants.hpp
  FROM [[while (!word_.compare_exchange_weak(now, now + 1));
    return true;]]
  TO [[while (false);
    if (inside(word_.fetch_add(1)) > 0) return true;
    word_.fetch_sub(1);
    return false;]])

# The one that was found by stress: those who come to see whether there is something
# find each other inside.
ff_add_mutant(attendance_enters_without_reason GROUP attendance HEADER attendance.hpp
  FROM [[return solo.shared() && has_room() && guest.anything_offered();]]
  TO [[return solo.shared() && has_room();]])

ff_add_mutant(attendance_enters_a_full_run GROUP attendance HEADER participants.hpp
  FROM [[if (!has_room(now)) return false;]]
  TO [[if (over(now)) return false;]])

ff_add_mutant(attendance_enters_a_run_that_is_over GROUP attendance
  HEADER participants.hpp
  FROM [[if (!has_room(now)) return false;]]
  TO [[if (inside(now) == most_) return false;]])

# Comes, finds no room, comes again, and never sleeps.
ff_add_mutant(attendance_no_room_is_no_matter GROUP attendance HEADER attendance.hpp
  FROM [[return solo.shared() && has_room() && guest.anything_offered();]]
  TO [[return solo.shared() && guest.anything_offered();]])

ff_add_mutant(attendance_leave_relaxed GROUP attendance HEADER participants.hpp
  FROM [[word_.fetch_sub(1);  // release: what follows]]
  TO [[word_.fetch_sub(1, std::memory_order_relaxed);]])

ff_add_mutant(attendance_end_seen_relaxed GROUP attendance HEADER participants.hpp
  FROM [[word_.fetch_or(kAwaited) | kAwaited;]]
  TO [[word_.fetch_or(kAwaited, std::memory_order_relaxed) | kAwaited;]])

ff_add_mutant(attendance_end_looked_for_first GROUP attendance HEADER participants.hpp
  FROM [[const std::uint32_t now = word_.fetch_or(kAwaited) | kAwaited;
    if (over(now)) return true;]]
  TO [[if (over()) return true;
    const std::uint32_t now = word_.fetch_or(kAwaited) | kAwaited;]])

ff_add_mutant(attendance_place_left_relaxed GROUP attendance HEADER attendance.hpp
  FROM [[place.taken.store(false, std::memory_order_release);]]
  TO [[place.taken.store(false, std::memory_order_relaxed);]])

ff_add_mutant(attendance_place_taken_relaxed GROUP attendance HEADER attendance.hpp
  FROM [[!place.taken.exchange(true, std::memory_order_acquire)]]
  TO [[!place.taken.exchange(true, std::memory_order_relaxed)]])

ff_add_mutant(attendance_place_not_one_step GROUP attendance HEADER attendance.hpp
  FROM [[if (!place.taken.exchange(true, std::memory_order_acquire)) return place;]]
  TO [[if (!place.taken.load(std::memory_order_acquire)) {
        place.taken.store(true);
        return place;
      }]])

ff_add_mutant(attendance_leaves_before_its_place GROUP attendance HEADER attendance.hpp
  FROM [[place.taken.store(false, std::memory_order_release);
    const auto left = participants_.depart();]]
  TO [[const auto left = participants_.depart();
    place.taken.store(false, std::memory_order_release);]])

ff_add_mutant(attendance_end_wakes_nobody GROUP attendance HEADER attendance.hpp
  FROM [[if (left.awaited) participants_.wake();]]
  TO [[]])

ff_add_mutant(attendance_end_keeps_watcher GROUP attendance HEADER attendance.hpp
  FROM [[if (left.over) (void)call_watcher();]]
  TO [[]])

ff_add_mutant(attendance_token_put_down_late GROUP attendance HEADER attendance.hpp
  FROM [[participants_.put_down();  // first]]
  TO [[const auto late = [this](void*) { participants_.put_down(); };
    std::unique_ptr<Attendance, decltype(late)> putting_down(this, late);  // first]])

ff_add_mutant(attendance_no_next_watcher GROUP attendance HEADER attendance.hpp
  FROM [[if (watch_.load() == kNobody && has_room()) invite(guest);]]
  TO [[]])

ff_add_mutant(attendance_watches_for_ever GROUP attendance HEADER attendance.hpp
  FROM [[watch_.store(kNobody);]]
  TO [[]])

ff_add_mutant(attendance_sleeps_before_looking GROUP attendance HEADER attendance.hpp
  FROM [[if (reason) break;
      guest.sleep(watch_, kSomebody, first);]]
  TO [[guest.sleep(watch_, kSomebody, first);
      if (reason) break;]])

ff_add_mutant(attendance_call_forgotten GROUP attendance HEADER attendance.hpp
  FROM [[guest.sleep(watch_, kSomebody, first);
      // Before the next look: calls after this count, and those before it are acquired.
      watch_.exchange(kSomebody);]]
  TO [[watch_.exchange(kSomebody);
      guest.sleep(watch_, kSomebody, first);]])

ff_add_mutant(attendance_stays_called GROUP attendance HEADER attendance.hpp
  FROM [[watch_.exchange(kSomebody);]]
  TO [[]])

ff_add_mutant(attendance_calls_nobody GROUP attendance HEADER attendance.hpp
  FROM [[futex_wake(watch_, INT_MAX);]]
  TO [[]])

ff_add_mutant(attendance_takes_over_unlocked GROUP attendance HEADER attendance.hpp
  FROM [[} else if (solo.shared() && place.try_lock()) {]]
  TO [[} else if (solo.shared()) {]])

ff_add_mutant(attendance_keeps_the_place GROUP attendance HEADER attendance.hpp
  FROM [[place.give_back();]]
  TO [[]])

ff_add_mutant(attendance_place_given_back_relaxed GROUP attendance HEADER solo_lock.hpp
  FROM [[others_.store(kNobody | heavy_, std::memory_order_release);]]
  TO [[others_.store(kNobody | heavy_, std::memory_order_relaxed);]])

ff_add_mutant(attendance_nobody_takes_over GROUP attendance HEADER attendance.hpp
  FROM [[look_around(guest);]]
  TO [[]])

ff_add_mutant(attendance_token_without_reference GROUP attendance HEADER attendance.hpp
  FROM [[hold();
    guest.send_token();]]
  TO [[guest.send_token();
    hold();]])

ff_add_mutant(attendance_drop_relaxed GROUP attendance HEADER attendance.hpp
  FROM [[references_.fetch_sub(1, std::memory_order_acq_rel)]]
  TO [[references_.fetch_sub(1, std::memory_order_relaxed)]])

# --- claim queue ----------------------------------------------------------------------

ff_add_mutant(claim_queue_put_relaxed GROUP claim_queue HEADER claim_queue.hpp
  FROM [[tail_.store(tail + 1, kOrder);]]
  TO [[tail_.store(tail + 1, std::memory_order_relaxed);]])

# The wake protocol breaks.
ff_add_mutant(claim_queue_put_release GROUP claim_queue HEADER claim_queue.hpp
  FROM [[tail_.store(tail + 1, kOrder);]]
  TO [[tail_.store(tail + 1, std::memory_order_release);]])

ff_add_mutant(claim_queue_two_claim_one GROUP claim_queue HEADER claim_queue.hpp
  FROM [[return head_.compare_exchange_strong(head, head + 1);]]
  TO [[head_.store(head + 1); return true;]])

ff_add_mutant(claim_queue_slot_after_tail GROUP claim_queue HEADER claim_queue.hpp
  FROM [[slots_[tail & mask_].store(number, std::memory_order_relaxed);
    tail_.store(tail + 1, kOrder);]]
  TO [[tail_.store(tail + 1, kOrder);
    slots_[tail & mask_].store(number, std::memory_order_relaxed);]])

ff_add_mutant(claim_queue_slot_read_late GROUP claim_queue HEADER claim_queue.hpp
  FROM [[if (move_on(head)) return number;]]
  TO [[if (move_on(head)) return slots_[head & mask_].load(std::memory_order_relaxed);]])

# --- ring -----------------------------------------------------------------------------

ff_add_mutant(ring_tail_relaxed GROUP ring HEADER ring.hpp
  FROM [[words_->tail->store(tail_);]]
  TO [[words_->tail->store(tail_, std::memory_order_relaxed);]])

# The sleep protocol breaks.
ff_add_mutant(ring_tail_release GROUP ring HEADER ring.hpp
  FROM [[words_->tail->store(tail_);]]
  TO [[words_->tail->store(tail_, std::memory_order_release);]])

ff_add_mutant(ring_tail_seen_relaxed GROUP ring HEADER ring.hpp
  FROM [[const Position tail = words_->tail->load();]]
  TO [[const Position tail = words_->tail->load(std::memory_order_relaxed);]])

ff_add_mutant(ring_tail_seen_acquire GROUP ring HEADER ring.hpp
  FROM [[const Position tail = words_->tail->load();]]
  TO [[const Position tail = words_->tail->load(std::memory_order_acquire);]])

ff_add_mutant(ring_published_before_written GROUP ring HEADER ring.hpp
  FROM [[memory_.put(ticket, payload, length);]]
  TO [[words_->tail->store(ticket + RingMessage::bytes(length));
    memory_.put(ticket, payload, length);]])

ff_add_mutant(ring_claim_word_after_tail GROUP ring HEADER ring.hpp
  FROM [[memory_.claim(ticket).store(ticket | RingMessage::kReady,
                                std::memory_order_relaxed);
    tail_ += RingMessage::bytes(length);]]
  TO [[tail_ += RingMessage::bytes(length);
    words_->tail->store(tail_);
    memory_.claim(ticket).store(ticket | RingMessage::kReady);]])

ff_add_mutant(ring_asleep_looked_at_first GROUP ring HEADER ring.hpp
  FROM [[words_->tail->store(tail_);
    return words_->asleep->receiver.load() != 0 &&
           words_->asleep->receiver.exchange(0) != 0;]]
  TO [[const bool asleep = words_->asleep->receiver.load() != 0 &&
                        words_->asleep->receiver.exchange(0) != 0;
    words_->tail->store(tail_);
    return asleep;]])

ff_add_mutant(ring_asleep_seen_acquire GROUP ring HEADER ring.hpp
  FROM [[words_->asleep->receiver.load() != 0]]
  TO [[words_->asleep->receiver.load(std::memory_order_acquire) != 0]])

ff_add_mutant(ring_every_publication_rings GROUP ring HEADER ring.hpp
  FROM [[words_->asleep->receiver.exchange(0) != 0;]]
  TO [[true;]])

ff_add_mutant(ring_announces_release GROUP ring HEADER ring.hpp
  FROM [[void announce() noexcept { words_->asleep->receiver.store(1); }]]
  TO [[void announce() noexcept {
    words_->asleep->receiver.store(1, std::memory_order_release);
  }]])

ff_add_mutant(ring_two_take_one GROUP ring HEADER ring.hpp
  FROM [[if (!memory_.claim(message.position)
             .compare_exchange_strong(expected,
                                      message.position | RingMessage::kTaken)) {
      return false;
    }]]
  TO [[if (memory_.claim(message.position).load() != expected) return false;
    memory_.claim(message.position).store(message.position | RingMessage::kTaken);]])

ff_add_mutant(ring_claims_what_was_recalled GROUP ring HEADER ring.hpp
  FROM [[message.position | RingMessage::kTaken)) {
      return false;
    }]]
  TO [[message.position | RingMessage::kTaken)) {
    }]])

ff_add_mutant(ring_recalls_what_was_taken GROUP ring HEADER ring.hpp
  FROM [[if (!memory_.claim(ticket).compare_exchange_strong(
            expected, ticket | RingMessage::kRecalled)) {
      return false;
    }]]
  TO [[if (memory_.claim(ticket).load() != expected) return false;
    memory_.claim(ticket).store(ticket | RingMessage::kRecalled);]])

ff_add_mutant(ring_recalls_what_is_written_over GROUP ring HEADER ring.hpp
  FROM [[if (ticket < head_ || ticket >= tail_ ||]]
  TO [[if (ticket >= tail_ ||]])

ff_add_mutant(ring_recall_is_not_counted GROUP ring HEADER ring.hpp
  FROM [[++recalled_;]]
  TO [[]])

ff_add_mutant(ring_head_relaxed GROUP ring HEADER ring.hpp
  FROM [[words_->taken->head.store(head_);]]
  TO [[words_->taken->head.store(head_, std::memory_order_relaxed);]])

ff_add_mutant(ring_head_release GROUP ring HEADER ring.hpp
  FROM [[words_->taken->head.store(head_);]]
  TO [[words_->taken->head.store(head_, std::memory_order_release);]])

ff_add_mutant(ring_head_seen_relaxed GROUP ring HEADER ring.hpp
  FROM [[const Position head = words_->taken->head.load();]]
  TO [[const Position head = words_->taken->head.load(std::memory_order_relaxed);]])

ff_add_mutant(ring_head_seen_acquire GROUP ring HEADER ring.hpp
  FROM [[const Position head = words_->taken->head.load();]]
  TO [[const Position head = words_->taken->head.load(std::memory_order_acquire);]])

ff_add_mutant(ring_room_given_back_early GROUP ring HEADER ring.hpp
  FROM [[*message = whole_;]]
  TO [[*message = whole_;
      words_->taken->head.store(head_ + RingMessage::bytes(whole_.length));]])

ff_add_mutant(ring_written_over_the_head GROUP ring HEADER ring.hpp
  FROM [[return tail_ + need - head_ <= memory_.capacity();]]
  TO [[return tail_ + need - head_ <= memory_.capacity() + RingMessage::kUnit;]])

ff_add_mutant(ring_room_announced_release GROUP ring HEADER ring.hpp
  FROM [[words_->asleep->room.store(tail_ + least - memory_.capacity());]]
  TO [[words_->asleep->room.store(tail_ + least - memory_.capacity(),
                               std::memory_order_release);]])

ff_add_mutant(ring_room_looked_at_first GROUP ring HEADER ring.hpp
  FROM [[words_->taken->head.store(head_);
    const Position wanted = words_->asleep->room.load();]]
  TO [[const Position wanted = words_->asleep->room.load();
    words_->taken->head.store(head_);]])

ff_add_mutant(ring_room_seen_acquire GROUP ring HEADER ring.hpp
  FROM [[const Position wanted = words_->asleep->room.load();]]
  TO [[const Position wanted = words_->asleep->room.load(std::memory_order_acquire);]])

ff_add_mutant(ring_waits_for_more_than_the_ring GROUP ring HEADER ring.hpp
  FROM [[head_ >= wanted &&]]
  TO [[head_ > wanted &&]])

ff_add_mutant(ring_room_of_recalled_is_kept GROUP ring HEADER ring.hpp
  FROM [[pass(whole_);]]
  TO [[pass(whole_);
      released_ = head_;]])
