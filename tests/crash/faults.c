/* Preloaded under a process that writes a journal: lets system calls on its files fail, or
 * keeps a trace of them for the power-cut simulation.
 *
 *   FAULT_FOLDER  only files below this folder are meant
 *   FAULT_SWITCH  faults happen while this file exists
 *   FAULT_KIND    enospc | eio_write | eio_sync | emfile | short
 *   FAULT_AT      the n-th such call fails (from 0)
 *   FAULT_TIMES   and so many calls in all (-1: all from then on)
 *   FAULT_TRACE   write every change of a file to this file
 *
 * A trace is a row of records: op (1 byte: W write, S sync, T truncate, U unlink), length of the name
 * (1 byte), offset and length (8 bytes each), name, data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 1024 };
static char names[MOST][64];
static int trace = -2;
static long seen;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int meant(int fd) { return fd >= 0 && fd < MOST && names[fd][0]; }

static void learn(int fd, const char *path) {
  const char *folder = getenv("FAULT_FOLDER");
  if (fd < 0 || fd >= MOST) return;
  names[fd][0] = 0;
  if (!folder || strncmp(path, folder, strlen(folder)) != 0) return;
  const char *name = strrchr(path, '/') + 1;
  if (strlen(name) < sizeof names[fd] && !strstr(name, "-shm")) strcpy(names[fd], name);
}

/* Whether this call is to fail. */
static int fails(const char *kind) {
  const char *wanted = getenv("FAULT_KIND"), *on = getenv("FAULT_SWITCH");
  if (!wanted || strcmp(wanted, kind) != 0 || !on) return 0;
  if (syscall(SYS_faccessat, AT_FDCWD, on, F_OK) != 0) return 0;
  long at = atol(getenv("FAULT_AT")), times = atol(getenv("FAULT_TIMES"));
  long number = __atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
  return number >= at && (times < 0 || number < at + times);
}

static void note(char op, int fd, int64_t offset, int64_t length, const void *data) {
  const char *path = getenv("FAULT_TRACE");
  if (!path) return;
  pthread_mutex_lock(&mutex);
  if (trace == -2)
    trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  unsigned char head[18] = {(unsigned char)op, (unsigned char)strlen(names[fd])};
  memcpy(head + 2, &offset, 8);
  memcpy(head + 10, &length, 8);
  syscall(SYS_write, trace, head, sizeof head);
  syscall(SYS_write, trace, names[fd], strlen(names[fd]));
  if (data) syscall(SYS_write, trace, data, (size_t)length);
  pthread_mutex_unlock(&mutex);
}

int unlink(const char *path) {
  const char *folder = getenv("FAULT_FOLDER");
  if (folder && strncmp(path, folder, strlen(folder)) == 0) {
    strncpy(names[MOST - 1], strrchr(path, '/') + 1, sizeof names[0] - 1);
    note('U', MOST - 1, 0, 0, NULL);
  }
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static int open_any(int at, const char *path, int flags, mode_t mode) {
  const char *folder = getenv("FAULT_FOLDER");
  if (folder && strncmp(path, folder, strlen(folder)) == 0 &&
      strstr(path, "runs.db") && fails("emfile")) {
    errno = EMFILE;
    return -1;
  }
  int fd = (int)syscall(SYS_openat, at, path, flags, mode);
  learn(fd, path);
  return fd;
}

#define MODE_OF(flags)                              \
  mode_t mode = 0;                                  \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {          \
    va_list list;                                   \
    va_start(list, flags);                          \
    mode = va_arg(list, mode_t);                    \
    va_end(list);                                   \
  }

int open(const char *path, int flags, ...) {
  MODE_OF(flags)
  return open_any(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE_OF(flags)
  return open_any(AT_FDCWD, path, flags, mode);
}
int openat(int at, const char *path, int flags, ...) {
  MODE_OF(flags)
  return open_any(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
  MODE_OF(flags)
  return open_any(at, path, flags, mode);
}

int close(int fd) {
  if (meant(fd)) names[fd][0] = 0;
  return (int)syscall(SYS_close, fd);
}

static ssize_t put(int fd, const void *data, size_t size, off_t offset) {
  if (!meant(fd)) return syscall(SYS_pwrite64, fd, data, size, offset);
  if (fails("enospc")) return errno = ENOSPC, -1;
  if (fails("eio_write")) return errno = EIO, -1;
  if (size > 1 && fails("short")) size /= 2;
  ssize_t done = syscall(SYS_pwrite64, fd, data, size, offset);
  if (done > 0) note('W', fd, offset, done, data);
  return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
  return put(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
  return put(fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size) {
  if (!meant(fd)) return syscall(SYS_write, fd, data, size);
  struct stat found;
  int64_t end = fstat(fd, &found) == 0 ? found.st_size : 0;
  ssize_t done = syscall(SYS_write, fd, data, size);
  if (done > 0) note('W', fd, end, done, data);
  return done;
}

static int sync_any(int fd, long call) {
  if (meant(fd)) {
    if (fails("eio_sync")) return errno = EIO, -1;
    note('S', fd, 0, 0, NULL);
  }
  return (int)syscall(call, fd);
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

static int cut(int fd, off_t size) {
  if (meant(fd)) note('T', fd, size, 0, NULL);
  return (int)syscall(SYS_ftruncate, fd, size);
}
int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }
