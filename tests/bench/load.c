/* SPDX-License-Identifier: MIT
 *
 * The load generator: one thread, epoll, N clients in a closed loop, a fixed count of queries.
 *
 *   load ADDRESS PORT EXPECT [option=value ...]      (options: see `struct options`)
 *
 * EXPECT is a file with the exact octets of the answer; every answer is compared with it.
 * A `%` in `user` stands for a number of seven digits below `names`: any of them, again and again;
 * with `first=K` each of them once, in an order that jumps about, from the Kth on.  EXPECT is then
 * the answer to number 0000000, and where it repeats that user's name the asked one must stand.
 * Prints one line of JSON.  Only loopback addresses are accepted; count and time are bounded.
 *
 * mode=once   the query goes out right after connect()
 * mode=late   the query goes out `wait` ms after connect(), when the connection has been accepted
 * mode=junk   the query, more octets behind its line end, and more again while the answer goes out
 * mode=trail  the line alone, then more octets in a segment of their own
 * mode=wait   as hold, with a whole query sent on each connection
 * mode=hold   opens `clients` connections, sends `octets` octets, prints "held", waits for the end
 *             of standard input, and tells how many the server closed meanwhile
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum mode { ONCE, LATE, JUNK, TRAIL, HOLD, WAIT };
enum { MAX_CLIENTS = 20000, MAX_COUNT = 5000000, MAX_SECONDS = 600, EVENTS = 512, JUNK_SIZE = 700,
       DIGITS = 7, MAX_PLACES = 64, STRIDE = 15485863 };  /* STRIDE: a prime above every `names` */

static struct options {
    enum mode mode;
    long clients, count, wait, seconds, names, first, octets, core;
    const char *user;
} opt = {ONCE, 1, 1, 10, 60, 0, -1, 0, -1, "moshez"};

struct client {
    int fd;
    size_t got;                 /* octets of the answer so far */
    long number;                /* what stands for `%` in the name that it asks for */
    uint64_t start, due;        /* ns */
    bool wrong, sent, junked;
};

static struct sockaddr_storage target;
static socklen_t target_size;
static char expect[1 << 20], junk[JUNK_SIZE];
static size_t expect_size, places[MAX_PLACES], nplaces;  /* where the number stands in `expect` */
static struct client *clients;
static uint32_t *samples;       /* microseconds */
static long started, finished, nsamples, ok, lost, cut, reset_after, wrong, refused;
static long *queue, queue_head, queue_tail;     /* late: clients in the order of their due time */
static uint64_t first_start, deadline, seed = 88172645463325252ULL;
static int epfd;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Only 127.0.0.0/8 and ::1: this program never loads anybody else's machine. */
static void aim(const char *address, int port) {
    struct sockaddr_in *four = (struct sockaddr_in *)&target;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&target;
    if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET, four->sin_port = htons((uint16_t)port);
        target_size = sizeof *four;
        if (ntohl(four->sin_addr.s_addr) >> 24 == 127) return;
    } else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6, six->sin6_port = htons((uint16_t)port);
        target_size = sizeof *six;
        if (IN6_IS_ADDR_LOOPBACK(&six->sin6_addr)) return;
    }
    fprintf(stderr, "load: %s is not a loopback address\n", address);
    exit(2);
}

static void want(struct client *c, int op, uint32_t events) {
    struct epoll_event e = {.events = events, .data.u64 = (uint64_t)(c - clients)};
    if (epoll_ctl(epfd, op, c->fd, &e)) die("epoll_ctl");
}

/* The number of the next name: xorshift, or each once. */
static long next_number(void) {
    if (!opt.names) return 0;
    if (opt.first >= 0) return (long)((uint64_t)opt.first++ * STRIDE % (uint64_t)opt.names);
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (long)(seed % (uint64_t)opt.names);
}

/* Write the query line for `number`, of at most 512 octets, and return its size. */
static int query(char *line, long number) {
    const char *hole = opt.names ? strchr(opt.user, '%') : NULL;
    if (!hole) return snprintf(line, 512, "%s\r\n", opt.user);
    return snprintf(line, 512, "%.*s%0*ld%s\r\n", (int)(hole - opt.user), opt.user, DIGITS, number,
                    hole + 1);
}

/* Find where `expect` repeats the name of number 0. */
static void find_places(void) {
    char name[512];
    const char *hole = strchr(opt.user, '%'), *at = expect;
    size_t size = (size_t)query(name, 0) - 2;
    if (!opt.names || !hole) return;
    while (nplaces < MAX_PLACES && (at = memmem(at, expect_size - (size_t)(at - expect), name, size)))
        places[nplaces++] = (size_t)(at - expect) + (size_t)(hole - opt.user), at += size;
}

/* Make `expect` the answer to `number`. */
static void expect_of(long number) {
    char digits[32];
    if (!nplaces) return;
    snprintf(digits, sizeof digits, "%0*ld", DIGITS, number);
    for (size_t i = 0; i < nplaces; i++) memcpy(expect + places[i], digits, DIGITS);
}

static void send_query(struct client *c) {
    char line[512 + JUNK_SIZE];
    int n;
    n = query(line, c->number);
    if (opt.mode == JUNK) memcpy(line + n, junk, JUNK_SIZE), n += JUNK_SIZE;
    if (send(c->fd, line, (size_t)n, MSG_NOSIGNAL) < 0) {
        if (errno == EAGAIN) { want(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT | EPOLLRDHUP); return; }
    } else if (opt.mode == JUNK || opt.mode == TRAIL) (void)!send(c->fd, junk, JUNK_SIZE, MSG_NOSIGNAL);
    c->sent = true;             /* an error shows at the next receive */
}

static void begin(struct client *c) {
    while (started < opt.count) {
        *c = (struct client){.start = now_ns(), .number = next_number()};
        if (!started++) first_start = c->start;
        c->fd = socket(target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->fd < 0) die("socket");
        if (connect(c->fd, (struct sockaddr *)&target, target_size) && errno != EINPROGRESS) {
            close(c->fd), c->fd = -1, refused++, finished++;
            continue;
        }
        want(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLRDHUP);
        if (opt.mode == LATE) {
            c->due = c->start + (uint64_t)opt.wait * 1000000u;
            queue[queue_tail++ % opt.clients] = c - clients;
        } else send_query(c);
        return;
    }
    c->fd = -1;
}

static void finish(struct client *c, bool clean) {
    bool whole = c->got == expect_size;
    if (c->wrong) wrong++;
    else if (clean && whole) ok++;
    else if (whole) reset_after++;
    else if (c->got) cut++;
    else lost++;
    samples[nsamples++] = (uint32_t)((now_ns() - c->start) / 1000u);
    close(c->fd);
    finished++;
    begin(c);
}

static void handle(struct client *c, uint32_t events) {
    static char buf[1 << 16];
    if (c->fd < 0) return;
    if (!c->sent && events & EPOLLOUT) {
        want(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLRDHUP);
        send_query(c);
    }
    if (opt.mode >= JUNK && !c->junked && events & EPOLLIN)
        c->junked = true, (void)!send(c->fd, junk, JUNK_SIZE, MSG_NOSIGNAL);
    for (;;) {
        ssize_t n = recv(c->fd, buf, sizeof buf, 0);
        if (n < 0) {
            if (errno != EAGAIN) finish(c, false);
            return;
        }
        if (n == 0) { finish(c, true); return; }
        expect_of(c->number);
        if (c->got + (size_t)n > expect_size || memcmp(expect + c->got, buf, (size_t)n))
            c->wrong = true;
        else c->got += (size_t)n;
        /* The end was announced before this receive, which took all that was there. */
        if (events & EPOLLRDHUP && (size_t)n < sizeof buf && opt.mode < JUNK) {
            finish(c, true);
            return;
        }
    }
}

static void send_due(void) {
    uint64_t now = now_ns();
    while (queue_head < queue_tail) {
        struct client *c = clients + queue[queue_head % opt.clients];
        if (c->fd >= 0 && c->due > now) return;
        queue_head++;
        if (c->fd >= 0 && !c->sent) send_query(c);
    }
}

static void run(void) {
    struct epoll_event events[EVENTS];
    for (long i = 0; i < opt.clients; i++) begin(clients + i);
    while (finished < opt.count && now_ns() < deadline) {
        int n = epoll_wait(epfd, events, EVENTS, queue_head < queue_tail ? 1 : 200);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) handle(clients + events[i].data.u64, events[i].events);
        if (opt.mode == LATE) send_due();
    }
}

static void hold(void) {
    long held = 0, closed = 0;
    for (long i = 0; i < opt.clients; i++) {
        struct client *c = clients + i;
        c->fd = socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0) die("socket");
        if (connect(c->fd, (struct sockaddr *)&target, target_size)) { close(c->fd); continue; }
        c->number = next_number();
        if (opt.mode == WAIT) send_query(c);
        for (long k = 0; k < opt.octets; k++) (void)!send(c->fd, "x", 1, MSG_NOSIGNAL);
        want(c, EPOLL_CTL_ADD, EPOLLRDHUP);
        held++;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = MAX_CLIENTS}, events[EVENTS];
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, 0, &e)) die("standard input must be a pipe");
    printf("held %ld\n", held), fflush(stdout);
    for (bool open = true; open && now_ns() < deadline;) {
        int n = epoll_wait(epfd, events, EVENTS, 200);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == MAX_CLIENTS) { open = false; continue; }
            close(clients[events[i].data.u64].fd), closed++;
        }
    }
    printf("{\"held\": %ld, \"closed\": %ld}\n", held, closed);
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(uint64_t wall) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    qsort(samples, (size_t)nsamples, sizeof *samples, by_size);
    double cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
                 (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
    printf("{\"count\": %ld, \"ok\": %ld, \"reset_after\": %ld, \"cut\": %ld, \"lost\": %ld, "
           "\"wrong\": %ld, \"refused\": %ld, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u, "
           "\"wall_us\": %.1f, \"cpu_us\": %.0f, \"start_ns\": %llu}\n",
           opt.count, ok, reset_after, cut, lost + (opt.count - finished), wrong, refused,
           nsamples ? samples[nsamples / 2] : 0, nsamples ? samples[nsamples * 99 / 100] : 0,
           nsamples ? samples[nsamples - 1] : 0, (double)wall / 1e3, cpu,
           (unsigned long long)first_start);
}

static void set(const char *argument) {
    static const char *const modes[] = {"once", "late", "junk", "trail", "hold", "wait"};
    const char *value = strchr(argument, '=');
    if (!value) { fprintf(stderr, "load: %s: want option=value\n", argument); exit(2); }
    size_t size = (size_t)(value++ - argument);
    struct { const char *name; long *where, most; } longs[] = {
        {"clients", &opt.clients, MAX_CLIENTS}, {"count", &opt.count, MAX_COUNT},
        {"wait", &opt.wait, 10000},             {"seconds", &opt.seconds, MAX_SECONDS},
        {"names", &opt.names, 9999999},         {"first", &opt.first, 9999999},
        {"octets", &opt.octets, 1000},                  {"core", &opt.core, CPU_SETSIZE - 1}};
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++)
        if (strlen(longs[i].name) == size && !strncmp(argument, longs[i].name, size)) {
            *longs[i].where = strtol(value, NULL, 10);
            if (*longs[i].where >= 0 && *longs[i].where <= longs[i].most) return;
        }
    if (size == 4 && !strncmp(argument, "user", 4)) { opt.user = value; return; }
    for (int i = 0; i < 6 && size == 4; i++)
        if (!strcmp(value, modes[i])) { opt.mode = (enum mode)i; return; }
    fprintf(stderr, "load: %s: unknown or out of bounds\n", argument);
    exit(2);
}

int main(int argc, char **argv) {
    if (argc < 4) { fprintf(stderr, "usage: load ADDRESS PORT EXPECT [option=value ...]\n"); return 2; }
    aim(argv[1], atoi(argv[2]));
    FILE *f = fopen(argv[3], "rb");
    if (!f) die(argv[3]);
    expect_size = fread(expect, 1, sizeof expect, f);
    fclose(f);
    for (int i = 4; i < argc; i++) set(argv[i]);
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (opt.core >= 0) CPU_SET((size_t)opt.core, &cores);
    if (opt.core >= 0 && sched_setaffinity(0, sizeof cores, &cores)) die("core");
    if (opt.clients > opt.count && opt.mode < HOLD) opt.clients = opt.count;
    find_places();
    memset(junk, 'j', sizeof junk);
    clients = calloc((size_t)opt.clients + 1, sizeof *clients);
    queue = calloc((size_t)opt.clients + 1, sizeof *queue);
    samples = calloc((size_t)opt.count + 1, sizeof *samples);
    struct rlimit files = {0, 0};
    getrlimit(RLIMIT_NOFILE, &files), files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || !queue || !samples || epfd < 0) die("set-up");
    uint64_t begun = now_ns();
    deadline = begun + (uint64_t)opt.seconds * 1000000000u;
    if (opt.mode >= HOLD) { hold(); return 0; }
    run();
    report(now_ns() - begun);
    return 0;
}
