/* Writes down what a program does to the files below a folder, so that a test can tell what a power cut would leave of it.
 *
 * Preloaded into the program. DISK_FOLDER: the folder; DISK_LOG: the file that gets the log. Each entry is a header and, behind
 * it, its two texts or its data (support.powercut reads them). A change is written down before it is made, a sync when it begins
 * and when it is done: so the log never promises more than the disk. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { MAX_DESCRIPTOR = 65536 };

struct header {
    char kind; /* O open, W write, T truncate, s sync begins, S sync is done, R rename, U unlink, D mkdir */
    char padding[7];
    uint64_t inode;
    uint64_t offset;
    uint32_t first;  /* bytes of the path, or of the data */
    uint32_t second; /* bytes of the second path */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char tracked[MAX_DESCRIPTOR];
static const char *folder;
static int log_descriptor = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_LOG");
    folder = getenv("DISK_FOLDER");
    if (folder && path)
        log_descriptor = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_ours(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    const char *end = strrchr(path, '.');
    if (log_descriptor < 0 || strncmp(path, folder, length) || (path[length] && path[length] != '/'))
        return 0;
    return !(end && !strcmp(end, ".log"));
}

static int is_tracked(int descriptor) { return descriptor >= 0 && descriptor < MAX_DESCRIPTOR && tracked[descriptor]; }

static uint64_t inode_of(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) ? 0 : status.st_ino;
}

static void put(const void *bytes, size_t count) {
    const char *next = bytes;
    while (count) {
        ssize_t written = REAL(write)(log_descriptor, next, count);
        if (written <= 0)
            abort();
        next += written;
        count -= written;
    }
}

static void note(char kind, uint64_t inode, uint64_t offset, const void *first, size_t first_size, const char *second) {
    struct header header = {kind, {0}, inode, offset, first_size, second ? strlen(second) : 0};
    pthread_mutex_lock(&lock);
    put(&header, sizeof header);
    put(first, first_size);
    put(second, header.second);
    pthread_mutex_unlock(&lock);
}

static int opened(int descriptor, const char *path, int flags) {
    if (descriptor >= 0 && descriptor < MAX_DESCRIPTOR) {
        tracked[descriptor] = is_ours(path);
        if (tracked[descriptor])
            note('O', inode_of(descriptor), flags & O_TRUNC ? 1 : 0, path, strlen(path), NULL);
    }
    return descriptor;
}

#define OPEN(name)                                                                                                              \
    int name(const char *path, int flags, ...) {                                                                                \
        va_list more;                                                                                                           \
        va_start(more, flags);                                                                                                  \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                                                 \
        va_end(more);                                                                                                           \
        return opened(REAL(name)(path, flags, mode), path, flags);                                                              \
    }
OPEN(open)
OPEN(open64)

int close(int descriptor) {
    if (is_tracked(descriptor))
        tracked[descriptor] = 0;
    return REAL(close)(descriptor);
}

#define PWRITE(name, offset_type)                                                                                               \
    ssize_t name(int descriptor, const void *bytes, size_t count, offset_type offset) {                                        \
        if (is_tracked(descriptor))                                                                                             \
            note('W', inode_of(descriptor), offset, bytes, count, NULL);                                                        \
        return REAL(name)(descriptor, bytes, count, offset);                                                                    \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int descriptor, const void *bytes, size_t count) {
    if (is_tracked(descriptor))
        note('W', inode_of(descriptor), lseek(descriptor, 0, SEEK_CUR), bytes, count, NULL);
    return REAL(write)(descriptor, bytes, count);
}

#define TRUNCATE(name, offset_type)                                                                                             \
    int name(int descriptor, offset_type size) {                                                                                \
        if (is_tracked(descriptor))                                                                                             \
            note('T', inode_of(descriptor), size, NULL, 0, NULL);                                                               \
        return REAL(name)(descriptor, size);                                                                                    \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                                                                              \
    int name(int descriptor) {                                                                                                  \
        if (is_tracked(descriptor))                                                                                             \
            note('s', inode_of(descriptor), gettid(), NULL, 0, NULL);                                                           \
        int result = REAL(name)(descriptor);                                                                                    \
        if (!result && is_tracked(descriptor))                                                                                  \
            note('S', inode_of(descriptor), gettid(), NULL, 0, NULL);                                                                  \
        return result;                                                                                                          \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *path, const char *target) {
    if (is_ours(path))
        note('R', 0, 0, path, strlen(path), target);
    return REAL(rename)(path, target);
}

int unlink(const char *path) {
    if (is_ours(path))
        note('U', 0, 0, path, strlen(path), NULL);
    return REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
    if (is_ours(path))
        note('D', 0, 0, path, strlen(path), NULL);
    return REAL(mkdir)(path, mode);
}
