/* Makes a folder fail for a while: loaded before libc (LD_PRELOAD), it returns an error from calls on paths below it.
 *
 * SICK_FOLDER names the folder, SICK_ERRNO a file. The folder is well while that file is missing; else the file holds the
 * number of the error. EROFS and ENOSPC fail what writes; any other error also fails what reads.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The error that the folder gives now; 0 if it is well. Uses no function that is replaced here. */
static int sickness(int writes) {
  const char *file = getenv("SICK_ERRNO");
  char text[16] = {0};
  int saved = errno, fd = file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC) : -1, error = 0;
  if (fd >= 0) {
    if (syscall(SYS_read, fd, text, sizeof text - 1) > 0) error = atoi(text);
    syscall(SYS_close, fd);
  }
  errno = saved;
  return writes || (error != EROFS && error != ENOSPC) ? error : 0;
}

static int below(const char *path) {
  const char *folder = getenv("SICK_FOLDER");
  return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int fails_path(const char *path, int writes) {
  int error = below(path) ? sickness(writes) : 0;
  return error ? (errno = error, 1) : 0;
}

static int fails_fd(int fd, int writes) {
  char link[32], path[PATH_MAX + 1];
  int error = sickness(writes);
  if (!error) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX);
  path[length > 0 ? length : 0] = 0;
  return below(path) ? (errno = error, 1) : 0;
}

#define OPEN(name)                                                  \
  int name(const char *path, int flags, ...) {                      \
    va_list rest;                                                   \
    va_start(rest, flags);                                          \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                   \
    if (fails_path(path, flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))) return -1; \
    return NEXT(name)(path, flags, mode);                           \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                \
  int name(int at, const char *path, int flags, ...) {              \
    va_list rest;                                                   \
    va_start(rest, flags);                                          \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                   \
    if (fails_path(path, flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))) return -1; \
    return NEXT(name)(at, path, flags, mode);                       \
  }
OPENAT(openat)
OPENAT(openat64)

DIR *opendir(const char *path) { return fails_path(path, 0) ? NULL : NEXT(opendir)(path); }
int mkdir(const char *path, mode_t mode) { return fails_path(path, 1) ? -1 : NEXT(mkdir)(path, mode); }
int unlink(const char *path) { return fails_path(path, 1) ? -1 : NEXT(unlink)(path); }
int rmdir(const char *path) { return fails_path(path, 1) ? -1 : NEXT(rmdir)(path); }
int rename(const char *from, const char *to) { return fails_path(to, 1) ? -1 : NEXT(rename)(from, to); }
int fsync(int fd) { return fails_fd(fd, 1) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return fails_fd(fd, 1) ? -1 : NEXT(fdatasync)(fd); }
ssize_t read(int fd, void *to, size_t n) { return fails_fd(fd, 0) ? -1 : NEXT(read)(fd, to, n); }
ssize_t write(int fd, const void *from, size_t n) { return fails_fd(fd, 1) ? -1 : NEXT(write)(fd, from, n); }
ssize_t pread64(int fd, void *to, size_t n, off64_t at) { return fails_fd(fd, 0) ? -1 : NEXT(pread64)(fd, to, n, at); }
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) {
  return fails_fd(fd, 1) ? -1 : NEXT(pwrite64)(fd, from, n, at);
}
