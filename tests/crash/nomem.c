/* Preloaded under a process in which memory is to run out: lets the n-th allocation fail.
 *
 *   nomem_arm(n, times, all)   from now on the n-th allocation (from 0) fails, and the
 *                              `times` - 1 after it; of this thread, or of all threads
 *   nomem_disarm()             no more; how many have failed
 *   nomem_live()               blocks that are not freed
 *   nomem_hook()               Python's own allocators fail and count, too
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static long live, first, last, seen, failed;
static int armed, everybody;
static pthread_t thread;

static int fails(void) {
  if (!__atomic_load_n(&armed, __ATOMIC_ACQUIRE)) return 0;
  if (!everybody && !pthread_equal(thread, pthread_self())) return 0;
  long number = __atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
  if (number < first || number >= last) return 0;
  __atomic_fetch_add(&failed, 1, __ATOMIC_SEQ_CST);
  return 1;
}

static void *counted(void *memory) {
  if (memory) __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
  return memory;
}
static void dropped(void *memory) {
  if (memory) __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
}

void nomem_arm(long n, long times, int all) {
  first = n;
  last = n + times;
  seen = failed = 0;
  everybody = all;
  thread = pthread_self();
  __atomic_store_n(&armed, 1, __ATOMIC_RELEASE);
}
long nomem_disarm(void) {
  __atomic_store_n(&armed, 0, __ATOMIC_RELEASE);
  return __atomic_load_n(&failed, __ATOMIC_SEQ_CST);
}
long nomem_live(void) { return __atomic_load_n(&live, __ATOMIC_SEQ_CST); }

/* The loader makes a thread's variables at their first use, and ends the process when
 * there is no memory for them: nothing that a library could do about it. */
static uintptr_t loader_begin, loader_end;

static int find_loader(struct dl_phdr_info *object, size_t size, void *data) {
  (void)size, (void)data;
  if (object->dlpi_addr != getauxval(AT_BASE)) return 0;
  loader_begin = object->dlpi_addr;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[i];
    const uintptr_t end = loader_begin + part->p_vaddr + part->p_memsz;
    if (part->p_type == PT_LOAD && end > loader_end) loader_end = end;
  }
  return 1;
}
__attribute__((constructor)) static void start(void) {
  dl_iterate_phdr(find_loader, NULL);
}
static int fails_for(const void *caller) {
  const uintptr_t at = (uintptr_t)caller;
  return (at < loader_begin || at >= loader_end) && fails();
}
#define FAILS() fails_for(__builtin_return_address(0))

static void *none(void) {
  errno = ENOMEM;
  return NULL;
}

void *malloc(size_t n) { return FAILS() ? none() : counted(__libc_malloc(n)); }
void *calloc(size_t n, size_t size) {
  return FAILS() ? none() : counted(__libc_calloc(n, size));
}
void *realloc(void *old, size_t n) {
  if (FAILS()) return none();
  void *memory = __libc_realloc(old, n);
  if (!old) counted(memory);
  return memory;
}
void *memalign(size_t alignment, size_t n) {
  return FAILS() ? none() : counted(__libc_memalign(alignment, n));
}
void *aligned_alloc(size_t alignment, size_t n) { return memalign(alignment, n); }
int posix_memalign(void **to, size_t alignment, size_t n) {
  void *memory = memalign(alignment, n);
  if (!memory) return ENOMEM;
  *to = memory;
  return 0;
}
void free(void *memory) {
  dropped(memory);
  __libc_free(memory);
}

/* --- Python's: PyMem_* and PyObject_* (PyMem_Raw* is malloc) ---------------------------- */

typedef struct {
  void *ctx;
  void *(*malloc)(void *, size_t);
  void *(*calloc)(void *, size_t, size_t);
  void *(*realloc)(void *, void *, size_t);
  void (*free)(void *, void *);
} Allocator;

static Allocator python[3];

static void *py_malloc(void *ctx, size_t n) {
  Allocator *a = ctx;
  return fails() ? NULL : counted(a->malloc(a->ctx, n));
}
static void *py_calloc(void *ctx, size_t n, size_t size) {
  Allocator *a = ctx;
  return fails() ? NULL : counted(a->calloc(a->ctx, n, size));
}
static void *py_realloc(void *ctx, void *old, size_t n) {
  Allocator *a = ctx;
  if (fails()) return NULL;
  void *memory = a->realloc(a->ctx, old, n);
  if (!old) counted(memory);
  return memory;
}
static void py_free(void *ctx, void *memory) {
  Allocator *a = ctx;
  dropped(memory);
  a->free(a->ctx, memory);
}

void nomem_hook(void) {
  void (*get)(int, Allocator *) = (void (*)(int, Allocator *))dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
  void (*set)(int, Allocator *) = (void (*)(int, Allocator *))dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
  for (int domain = 1; domain < 3; ++domain) {
    get(domain, &python[domain]);
    Allocator ours = {&python[domain], py_malloc, py_calloc, py_realloc, py_free};
    set(domain, &ours);
  }
}
