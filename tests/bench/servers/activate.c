/* SPDX-License-Identifier: MIT
 *
 * Socket activation by a program as small as can be, the same for every server.
 *
 *   activate CORE DEFER WAIT PROGRAM [ARGUMENT ...]
 *
 * Descriptor 0 is the listening socket.  Pins itself to core CORE; DEFER > 0 sets
 * TCP_DEFER_ACCEPT to so many seconds (as DeferAcceptSec= does); with WAIT=1 sleeps until the
 * first client is there and prints when that was (ns of CLOCK_MONOTONIC); then becomes PROGRAM
 * with the socket as descriptor 3, LISTEN_FDS=1, LISTEN_PID, LISTEN_FDNAMES=finger if that is not
 * set, and the dev:ino of its standard error as JOURNAL_STREAM.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);  /* never outlives the benchmark */
    int core = atoi(argv[1]), defer = atoi(argv[2]), wait = atoi(argv[3]);
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (core >= 0) CPU_SET((size_t)core, &cores);
    if (core >= 0 && sched_setaffinity(0, sizeof cores, &cores)) perror("activate: affinity");
    struct rlimit files = {0, 0};
    getrlimit(RLIMIT_NOFILE, &files), files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (defer && setsockopt(0, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof defer))
        perror("activate: TCP_DEFER_ACCEPT");
    if (dup2(0, 3) < 0) return 1;
    close(0), open("/dev/null", O_RDONLY);
    char number[64];
    snprintf(number, sizeof number, "%d", (int)getpid());
    setenv("LISTEN_PID", number, 1), setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_FDNAMES", "finger", 0);
    struct stat error;
    if (!fstat(2, &error)) {
        snprintf(number, sizeof number, "%ju:%ju", (uintmax_t)error.st_dev, (uintmax_t)error.st_ino);
        setenv("JOURNAL_STREAM", number, 1);
    }
    if (wait) {
        struct pollfd p = {.fd = 3, .events = POLLIN};
        if (poll(&p, 1, 60000) != 1) return 1;
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        printf("%lld\n", (long long)t.tv_sec * 1000000000LL + t.tv_nsec), fflush(stdout);
    }
    execvp(argv[4], argv + 4);
    perror(argv[4]);
    return 127;
}
