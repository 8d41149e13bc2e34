/* Put in front of a process under test: its wall clock is so many seconds off as a file says, so that time can be let pass
 * for it at once. The file is mapped, two numbers of eight bytes: what is written to the first holds from the next look at
 * the clock on, and the second counts the looks. Other clocks go as they go: what is measured by them is not touched. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *held;

__attribute__((constructor)) static void map_file(void) {
    const char *path = getenv("CLOCK_FILE");
    int file = path ? open(path, O_RDWR) : -1;
    if (file < 0) abort();
    void *page = mmap(0, 2 * sizeof *held, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) abort();
    held = page;
    close(file);
}

static int64_t off(void) {
    if (!held) return 0;
    __atomic_fetch_add(&held[1], 1, __ATOMIC_RELAXED);
    return held[0];
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += off();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed) now->tv_sec += off();
    return failed;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
