/* Loaded into a process with LD_PRELOAD: the one seam at which the store's writes are counted,
 * refused or made the last thing a process does, its clock shifted and its host renamed.
 *
 *   FAULT_ROOT    only calls on files under this folder count: open for writing, write, pwrite,
 *                 fsync, rename, link, mkdir, unlink - Python's and the checkpoint library's alike
 *   FAULT_ONLY    only in processes whose command line holds this word
 *   FAULT_KIND    kill: SIGKILL at the FAULT_AT-th call; enospc: that call and all later ones
 *                 fail with "No space left on device" until the process ends; count: nothing
 *   FAULT_AT      counted from 1
 *   FAULT_LOG     the last count, and the call at which a fault came, are appended to this file:
 *                 call, number, process id, seconds of the epoch, path
 *                 (a process may also choose itself, again and again: fault_arm, fault_count)
 *   FAULT_SHIFT   seconds added to the clock of day
 *   FAULT_HOST    the host's name
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;
static long at = 0, shift = 0;
static int active = 0, kills = 0, refuses = 0;
static const char *root = NULL, *host = NULL, *log_path = NULL;

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
  const char *only = getenv("FAULT_ONLY"), *kind = getenv("FAULT_KIND");
  host = getenv("FAULT_HOST");
  if (getenv("FAULT_SHIFT")) shift = atol(getenv("FAULT_SHIFT"));
  root = getenv("FAULT_ROOT");
  log_path = getenv("FAULT_LOG");
  if (!root || !kind) return;
  char line[8192] = {0};
  int fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY, 0);
  long n = fd < 0 ? 0 : syscall(SYS_read, fd, line, sizeof line - 1);
  if (fd >= 0) syscall(SYS_close, fd);
  for (long i = 0; i < n; i++) if (!line[i]) line[i] = ' ';
  if (only && !strstr(line, only)) return;
  if (getenv("FAULT_AT")) at = atol(getenv("FAULT_AT"));
  kills = !strcmp(kind, "kill");
  refuses = !strcmp(kind, "enospc");
  active = 1;
}

/* For a process that tries one write after the other: from now on calls count from 1 again. */
void fault_arm(int refuse, long number) {
  refuses = refuse;
  at = number;
  atomic_store(&calls, 0);
}

long fault_count(void) { return atomic_load(&calls); }

static void note(const char *what, long n, const char *path) {
  if (!log_path) return;
  char line[1024];
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  int length = snprintf(line, sizeof line, "%s %ld %d %ld.%03ld %s\n", what, n, (int)getpid(),
                        (long)now.tv_sec, now.tv_nsec / 1000000, path ? path : "");
  int fd = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (fd >= 0) {
    syscall(SYS_write, fd, line, length);
    syscall(SYS_close, fd);
  }
}

/* True when the call must fail. */
static int fault(const char *call, const char *path) {
  if (!active || !path || strncmp(path, root, strlen(root))) return 0;
  long n = atomic_fetch_add(&calls, 1) + 1;
  if (kills && n == at) {
    note(call, n, path);
    syscall(SYS_kill, getpid(), SIGKILL);
  }
  if (refuses && n >= at) {
    if (n == at) note(call, n, path);
    errno = ENOSPC;
    return 1;
  }
  return 0;
}

static int fault_fd(const char *call, int fd) {
  if (!active) return 0;
  char name[64], path[4096];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  long n = readlink(name, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return fault(call, path);
}

__attribute__((destructor)) static void end(void) {
  if (active && !kills && !refuses) note("count", atomic_load(&calls), "");
}

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))
#define MODE int mode = 0; if (flags & (O_CREAT | __O_TMPFILE)) { \
    va_list list; va_start(list, flags); mode = va_arg(list, int); va_end(list); }

int open(const char *path, int flags, ...) {
  MODE REAL(open);
  return WRITES(flags) && fault("open", path) ? -1 : real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE REAL(open64);
  return WRITES(flags) && fault("open", path) ? -1 : real(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
  MODE REAL(openat);
  return WRITES(flags) && fault("open", path) ? -1 : real(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
  MODE REAL(openat64);
  return WRITES(flags) && fault("open", path) ? -1 : real(folder, path, flags, mode);
}
ssize_t write(int fd, const void *buffer, size_t size) {
  REAL(write);
  return fault_fd("write", fd) ? -1 : real(fd, buffer, size);
}
ssize_t pwrite(int fd, const void *buffer, size_t size, off_t offset) {
  REAL(pwrite);
  return fault_fd("pwrite", fd) ? -1 : real(fd, buffer, size, offset);
}
ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset) {
  REAL(pwrite64);
  return fault_fd("pwrite", fd) ? -1 : real(fd, buffer, size, offset);
}
int fsync(int fd) {
  REAL(fsync);
  return fault_fd("fsync", fd) ? -1 : real(fd);
}
int fdatasync(int fd) {
  REAL(fdatasync);
  return fault_fd("fsync", fd) ? -1 : real(fd);
}
int rename(const char *from, const char *to) {
  REAL(rename);
  return fault("rename", to) ? -1 : real(from, to);
}
int link(const char *from, const char *to) {
  REAL(link);
  return fault("link", to) ? -1 : real(from, to);
}
int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  return fault("mkdir", path) ? -1 : real(path, mode);
}
int unlink(const char *path) { /* frees space: it never fails for want of it */
  REAL(unlink);
  if (kills) fault("unlink", path);
  return real(path);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(clock_gettime);
  int code = real(clock, now);
  if (clock == CLOCK_REALTIME && !code) now->tv_sec += shift;
  return code;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  REAL(gettimeofday);
  int code = real(now, zone);
  if (!code) now->tv_sec += shift;
  return code;
}
time_t time(time_t *to) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (to) *to = now.tv_sec;
  return now.tv_sec;
}
int gethostname(char *name, size_t size) {
  REAL(gethostname);
  if (!host) return real(name, size);
  snprintf(name, size, "%s", host);
  return 0;
}
