/* A library that the tests load before a service (`LD_PRELOAD`), to play a full disk and a clock that jumps.
 *
 * It reads two words of 64 bits from the file named by FAULTS_CONTROL, which stays mapped, so that a test changes them
 * while the service runs:
 *   0  what the disk below the folder FAULTS_FOLDER has room for: 0 everything, 1 nothing at all,
 *      2 what lies within files that are there already (as on a file system that writes in place)
 *   1  seconds that the wall clock is ahead of what the system says; negative where it is behind
 * Without these variables it changes nothing. Only the wall clock jumps; clocks that cannot be set go on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t nothing[2];
static volatile int64_t *control = nothing;
static char folder[PATH_MAX];
static size_t folder_length;

#define REAL(name)                       \
  static __typeof__(name) *volatile real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAULTS_CONTROL"), *below = getenv("FAULTS_FOLDER");
  if (!file || !below || strlen(below) >= sizeof folder) return;
  strcpy(folder, below);
  folder_length = strlen(folder);
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void *mapped = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) control = mapped;
}

static int is_below(const char *path) {
  return folder_length && strncmp(path, folder, folder_length) == 0 &&
         (path[folder_length] == '/' || path[folder_length] == 0);
}

/* Whether a file that is open has no room for bytes up to `end`. */
static int is_full(int fd, off_t end) {
  int64_t room = control[0];
  if (room == 0) return 0;
  char name[64], path[PATH_MAX];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (!is_below(path)) return 0;
  struct stat found;
  return room == 1 || fstat(fd, &found) != 0 || end > found.st_size;
}

/* Where a write without a place of its own ends. */
static off_t end_of(int fd, size_t count) {
  struct stat found;
  int flags = fcntl(fd, F_GETFL);
  off_t at = lseek(fd, 0, SEEK_CUR);
  if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &found) == 0) at = found.st_size;
  return at + (off_t)count;
}

static size_t sum(const struct iovec *parts, int count) {
  size_t all = 0;
  for (int i = 0; i < count; i++) all += parts[i].iov_len;
  return all;
}

#define FULL(answer) do { errno = ENOSPC; return answer; } while (0)

ssize_t write(int fd, const void *bytes, size_t count) {
  REAL(write);
  if (control[0] && is_full(fd, end_of(fd, count))) FULL(-1);
  return real(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  if (control[0] && is_full(fd, end_of(fd, sum(parts, count)))) FULL(-1);
  return real(fd, parts, count);
}

#define PWRITE(name)                                                        \
  ssize_t name(int fd, const void *bytes, size_t count, off_t at) {         \
    REAL(name);                                                             \
    if (control[0] && is_full(fd, at + (off_t)count)) FULL(-1);             \
    return real(fd, bytes, count, at);                                      \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name)                                                       \
  ssize_t name(int fd, const struct iovec *parts, int count, off_t at) {    \
    REAL(name);                                                             \
    if (control[0] && is_full(fd, at + (off_t)sum(parts, count))) FULL(-1); \
    return real(fd, parts, count, at);                                      \
  }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define TRUNCATE(name)                                                      \
  int name(int fd, off_t length) {                                          \
    REAL(name);                                                             \
    struct stat found;                                                      \
    if (control[0] && fstat(fd, &found) == 0 && length > found.st_size && is_full(fd, length)) FULL(-1); \
    return real(fd, length);                                                \
  }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define ALLOCATE(name)                                                      \
  int name(int fd, int mode, off_t at, off_t length) {                      \
    REAL(name);                                                             \
    if (control[0] && is_full(fd, at + length)) FULL(-1);                   \
    return real(fd, mode, at, length);                                      \
  }
ALLOCATE(fallocate)
ALLOCATE(fallocate64)

#define POSIX_ALLOCATE(name)                                                \
  int name(int fd, off_t at, off_t length) {                                \
    REAL(name);                                                             \
    if (control[0] && is_full(fd, at + length)) return ENOSPC;              \
    return real(fd, at, length);                                            \
  }
POSIX_ALLOCATE(posix_fallocate)
POSIX_ALLOCATE(posix_fallocate64)

/* A new name needs room as well. */
static int makes(const char *path, int flags) {
  return control[0] && (flags & O_CREAT) && path[0] == '/' && is_below(path) && access(path, F_OK) != 0;
}

#define OPEN(name)                                                          \
  int name(const char *path, int flags, ...) {                              \
    REAL(name);                                                             \
    va_list more;                                                           \
    va_start(more, flags);                                                  \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                           \
    if (makes(path, flags)) FULL(-1);                                       \
    return real(path, flags, mode);                                         \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                        \
  int name(int at, const char *path, int flags, ...) {                      \
    REAL(name);                                                             \
    va_list more;                                                           \
    va_start(more, flags);                                                  \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                           \
    if (makes(path, flags)) FULL(-1);                                       \
    return real(at, path, flags, mode);                                     \
  }
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  if (makes(path, O_CREAT)) FULL(-1);
  return real(path, mode);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  REAL(clock_gettime);
  int answer = real(clock, time);
  if (answer == 0 && clock == CLOCK_REALTIME) time->tv_sec += control[1];
  return answer;
}
