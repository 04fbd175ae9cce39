/*
 * Lets a test move the wall clock of one process that is started with this library in LD_PRELOAD.
 *
 * The process' working directory holds a file "clock" of eight bytes: by how many nanoseconds the wall
 * clock is off, in the machine's byte order. The file stays mapped, so that whoever writes to it moves the
 * clock of the running process. Only clocks that a system administrator could set are moved: monotonic
 * ones run on, as they do when a real clock is set.
 *
 * The time is asked of the kernel directly, because asking the C library for the function behind ours may
 * allocate memory, and an allocator may ask for the time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const volatile int64_t *offset;

/* A clock that cannot be moved would be taken for one that moves without effect. */
static void give_up(void) {
    static const char message[] = "clock.c: cannot map the file \"clock\"\n";
    (void)!write(STDERR_FILENO, message, sizeof message - 1);
    _exit(1);
}

__attribute__((constructor)) static void map_offset(void) {
    int file = open("clock", O_RDONLY | O_CLOEXEC);
    if (file < 0) give_up();
    void *page = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) give_up();
    close(file);
    offset = page;
}

static int is_wall_clock(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

static void move(struct timespec *now) {
    /* Another library may ask before our constructor has run. */
    if (!offset) return;
    int64_t nanoseconds = now->tv_sec * SECOND + now->tv_nsec + *offset;
    now->tv_sec = nanoseconds / SECOND;
    now->tv_nsec = nanoseconds % SECOND;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && is_wall_clock(clock)) move(now);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    if (zone) *(struct timezone *)zone = (struct timezone){0};
    if (clock_gettime(CLOCK_REALTIME, &precise)) return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place) {
    struct timespec precise;
    if (clock_gettime(CLOCK_REALTIME, &precise)) return -1;
    if (place) *place = precise.tv_sec;
    return precise.tv_sec;
}
